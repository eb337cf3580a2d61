"""The documentation, read and tried in a real Chromium."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.chromium import Scheme, page, running_chromium
from tests.fakes.facade import served_facade

# CI may have to install Chromium first.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]


@pytest_asyncio.fixture(name="browser", scope="module", loop_scope="module")
async def _browser() -> AsyncIterator[Browser]:
    async with running_chromium() as browser:
        yield browser


@pytest_asyncio.fixture(name="served", scope="module", loop_scope="module")
async def _served() -> AsyncIterator[str]:
    async with served_facade() as served:
        yield served.address


async def test_a_call_is_made_from_the_page(browser: Browser, served: str) -> None:
    """A reader opens an endpoint, sends its example, and reads the answer of this service."""
    async with page(browser) as one:
        await one.goto(f"{served}/docs")
        await one.click(".opblock[id$='-pause-lifted'] .opblock-summary-control")
        await one.click(".opblock[id$='-pause-lifted'] .try-out__btn")
        await one.click(".opblock[id$='-pause-lifted'] .execute")
        answer = one.locator(".opblock[id$='-pause-lifted'] .live-responses-table .response")
        status = await answer.locator(".response-col_status").inner_text()
        body = await answer.locator(".response-col_description").inner_text()

    assert "200" == status.strip()
    assert "coordinator-007" in body


async def test_fields_and_limits_are_shown(browser: Browser, served: str) -> None:
    """An open endpoint shows its fields with their limits, its answers, and their headers."""
    async with page(browser) as one:
        await one.goto(f"{served}/docs")
        await one.click(".opblock[id$='-pause-activated'] .opblock-summary-control")
        operation = one.locator(".opblock[id$='-pause-activated']")
        await operation.locator(".opblock-section-request-body .tabitem", has_text="Schema").click()
        text = await operation.inner_text()

    assert [] == [
        word for word in ("pause_reason", "[1, 500] characters", "Idempotent-Replayed", "503") if word not in text
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/docs", "/docs/events", "/problems/not-json"])
async def test_nothing_overflows_a_phone(browser: Browser, served: str, path: str, scheme: Scheme) -> None:
    """At 375 pixels no page is wider than the screen, and in the dark its background is dark."""
    async with page(browser, width=375, scheme=scheme) as one:
        await one.goto(served + path, wait_until="networkidle")
        width = await one.evaluate("document.documentElement.scrollWidth")
        background = await one.evaluate("getComputedStyle(document.body).backgroundColor")

    assert 375 >= width
    assert {"light": "rgb(255, 255, 255)", "dark": "rgb(24, 24, 24)"}[scheme] == background


async def test_the_keyboard_is_enough(browser: Browser, served: str) -> None:
    """Tab reaches an endpoint, and Enter opens it."""
    async with page(browser) as one:
        await one.goto(f"{served}/docs", wait_until="networkidle")
        await one.focus(".opblock[id$='-pause-lifted'] .opblock-summary-control")
        await one.keyboard.press("Enter")
        await one.wait_for_selector(".opblock[id$='-pause-lifted'] .try-out__btn")
        reached = await one.evaluate("document.activeElement.tabIndex")

    assert 0 == reached


async def test_problems_lead_to_the_docs_and_back(browser: Browser, served: str) -> None:
    """The table of answers leads to the page of each problem, which leads back to the table."""
    async with page(browser) as one:
        await one.goto(f"{served}/docs")
        await one.click("a:text-is('key-reused')")
        title = await one.inner_text("h1")
        await one.click("a:text-is('All answers')")

        assert "The Idempotency-Key was used for other content" == title
        await expect(one.locator("#answers")).to_be_in_viewport()


async def test_code_calls_the_service_that_shows_it(browser: Browser, served: str) -> None:
    """Whoever copies a sample calls this service, and not another one at the usual port."""
    async with page(browser) as one:
        await one.goto(f"{served}/docs")
        code = await one.locator("details code").first.text_content()

    assert f"{served}/api/v1/" in (code or "")


async def test_events_lead_to_their_schemas(browser: Browser, served: str) -> None:
    """The page of events links each JSON Schema, which is served as such."""
    async with page(browser) as one:
        await one.goto(f"{served}/docs/events")
        link = await one.get_attribute("a[href$='mentor.pause.lifted.v1']", "href")
        answer = await one.request.get(f"{served}{link}")
        schema = await answer.json()

    assert "urn:pause-notifications:mentor.pause.lifted.v1" == schema["$id"]
