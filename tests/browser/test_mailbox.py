"""The mailbox page with a thousand mails in a real Chromium."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Dialog, Page, expect

from deploy.local.ses.app import create_app
from deploy.local.ses.mail_file import MailFile
from deploy.local.ses.server import running
from tests.browser.chromium import Scheme, page, running_chromium
from tests.unit.deploy.local.mails import mail
from tests.unit.deploy.local.ses_client import email

# CI may have to install Chromium first.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

expect.set_options(timeout=20_000)  # other tests may take all of the machine

_HTML = """<meta name="color-scheme" content="light dark">
<style>@media (prefers-color-scheme: dark) { p { color: rgb(250, 250, 250) } }</style><p>Hello</p>"""
_HOSTILE = """<p>Hello</p>
<script>document.querySelector("p").textContent = "owned"; top.document.title = "owned"</script>
<img src="/admin/mails" onerror="document.querySelector('p').textContent = 'owned'">
<meta http-equiv="refresh" content="0;url=/admin/mails">"""


@pytest_asyncio.fixture(name="browser", scope="module", loop_scope="module")
async def _browser() -> AsyncIterator[Browser]:
    async with running_chromium() as browser:
        yield browser


@pytest.fixture(name="earlier", scope="module")
def _earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a thousand mails, as an earlier run leaves it."""
    path = tmp_path_factory.mktemp("mailbox") / "mails.sqlite3"
    file = MailFile(path, on_fault=pytest.fail)
    file.open(newest=1)
    for number in range(999):
        file.put(mail(number, html=_HTML))
    file.put(mail(999, sender="=?utf-8?q?=C3=9Cnal?= <unal@example.org>", subject="Ünal writes", html=None))
    file.close()
    return path


@pytest.fixture(name="served")
def _served(earlier: Path, tmp_path: Path) -> Iterator[str]:
    """Serve a mailbox with a thousand mails of an earlier run; yield its address."""
    path = Path(shutil.copy(earlier, tmp_path))
    app = create_app(mail_file=MailFile(path, on_fault=pytest.fail), names={"mentor-997@example.org": "Amara Diallo"})
    with running(app) as address:
        yield address


async def _open(one: Page, address: str) -> None:
    await one.goto(address)
    await expect(one.locator("#mails a")).to_have_count(50)


async def _subject(one: Page, subject: str) -> None:
    await expect(one.locator("#subject")).to_have_text(subject)


async def test_keys_open_search_and_delete(browser: Browser, served: str) -> None:
    """`j` and `k` walk through the mails, also to the next page; `/` leads to the search; Delete deletes."""
    async with page(browser) as one:
        await _open(one, served)
        await one.keyboard.press("j")
        await _subject(one, "Ünal writes")
        await one.keyboard.press("j")
        await _subject(one, "Mail 998")
        await one.keyboard.press("k")
        await _subject(one, "Ünal writes")
        await one.click("#mails li:last-child a")
        await _subject(one, "Mail 950")
        await one.keyboard.press("j")
        await _subject(one, "Mail 949")
        await expect(one.locator("#range")).to_have_text(re.compile("^51.100 of 1,000$"))
        await one.keyboard.press("Delete")
        await _subject(one, "Mail 948")
        await expect(one.locator("#range")).to_have_text(re.compile("^51.100 of 999$"))
        await one.keyboard.press("/")
        await one.keyboard.type("unal")
        await expect(one.locator("#mails .subject")).to_have_text(["Ünal writes"])
        await one.keyboard.press("Delete")  # within the field: no mail is deleted
        await expect(one.locator("#range")).to_have_text(re.compile("^1.1 of 1$"))


async def test_mails_are_unread_until_they_are_opened(browser: Browser, served: str) -> None:
    """An opened mail is no longer marked, and may be marked again; the title has the number of unread ones."""
    async with page(browser) as one:
        await _open(one, served)
        await expect(one).to_have_title("(1,000) Mailbox of the local SES")
        await one.click("#mails li:nth-child(2) a")
        await expect(one.locator("#mails li:nth-child(2) a")).not_to_have_class("unread")
        await expect(one).to_have_title("(999) Mailbox of the local SES")
        await one.click("#unread")
        await expect(one.locator("#mails li:nth-child(2) a")).to_have_class("unread")


async def test_names_stand_beside_addresses(browser: Browser, served: str) -> None:
    """The list has the name of a contact, and a mail that of its sender."""
    async with page(browser) as one:
        await _open(one, served)
        await expect(one.locator("#mails .to").nth(2)).to_have_text("Amara Diallo mentor-997@example.org")
        await one.keyboard.press("j")
        await expect(one.locator("#envelope dd").first).to_have_text("Ünal unal@example.org")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_mail_is_shown_as_wide_and_dark_as_chosen(browser: Browser, served: str, scheme: Scheme) -> None:
    """The switches show a mail at a phone's width and in either scheme, whatever the browser's own scheme is."""
    async with page(browser, scheme=scheme) as one:
        await _open(one, served)
        await one.click("#mails li:nth-child(2) a")
        text = one.frame_locator("#html").locator("p")
        for label, color in (("Dark", "rgb(250, 250, 250)"), ("Light", "rgb(0, 0, 0)")):
            await one.get_by_label(label).check()
            await expect(text).to_have_css("color", color)
        await one.get_by_label("320").check()
        await expect(one.locator("#html")).to_have_css("width", "320px")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_overflows_a_phone(browser: Browser, served: str, scheme: Scheme) -> None:
    """At 375 pixels neither list nor mail is wider than the screen, and in the dark the page is dark."""
    async with page(browser, width=375, scheme=scheme) as one:
        await _open(one, served)
        list_width = await one.evaluate("document.documentElement.scrollWidth")
        background = await one.evaluate("getComputedStyle(document.body).backgroundColor")
        await one.click("#mails li:nth-child(2) a")
        await expect(one.locator("#mail")).to_be_visible()
        await one.get_by_label("600").check()
        mail_width = await one.evaluate("document.documentElement.scrollWidth")

    assert (375, 375) == (list_width, mail_width)
    assert {"light": "rgb(243, 245, 248)", "dark": "rgb(16, 20, 27)"}[scheme] == background


async def test_a_mail_can_be_downloaded(browser: Browser, served: str) -> None:
    """The link saves the mail as a file for mail programs."""
    async with page(browser) as one:
        await _open(one, served)
        await one.keyboard.press("j")
        async with one.expect_download() as downloading:
            await one.click("#eml")
        saved = (await (await downloading.value).path()).read_bytes()

    assert b"From: =?utf-8?q?=C3=9Cnal?= <unal@example.org>\r\n" in saved


async def test_all_mails_can_be_deleted(browser: Browser, served: str) -> None:
    """Delete all asks first; then the empty page has a command to try."""
    async with page(browser) as one:
        await _open(one, served)
        asked: list[str] = []

        async def accept(dialog: Dialog) -> None:
            asked.append(dialog.message)
            await dialog.accept()

        one.once("dialog", accept)
        await one.click("#delete-all")
        await expect(one.locator("#empty")).to_contain_text("curl http://127.0.0.1:8000/api/v1/")
        kept = (await (await one.request.get(f"{served}/admin/mails")).json())["kept"]

    assert ["Delete all 1,000 mails?"] == asked
    assert 0 == kept


async def test_hostile_content_is_text(browser: Browser, served: str) -> None:
    """Markup in a subject, a name or a text is shown as text; that of the HTML runs no script and asks for nothing."""
    tag = "<img src=x onerror=alert(1)>"
    sender = "=?utf-8?q?=3Cimg_src=3Dx_onerror=3Dalert(1)=3E?= <a@example.org>"
    content = {"Subject": {"Data": tag}, "Body": {"Text": {"Data": tag}, "Html": {"Data": _HOSTILE}}}
    one = await browser.new_page()  # without a check of its console, which has what was refused
    sent = email(FromEmailAddress=sender, Content={"Simple": content})
    assert (await one.request.post(f"{served}/v2/email/outbound-emails", data=sent)).ok
    asked: list[str] = []
    one.on("response", lambda response: asked.append(response.url))
    await _open(one, served)
    await one.keyboard.press("j")
    await _subject(one, tag)
    await expect(one.locator("#envelope dd").first).to_have_text(f"{tag} a@example.org")
    await expect(one.locator("#text")).to_have_text(tag)
    frame = one.frame_locator("#html")
    await expect(frame.locator("p")).to_have_text("Hello")
    await expect(one).to_have_title(re.compile("Mailbox of the local SES$"))
    await one.close()

    assert 0 == sum(url.endswith(("/admin/mails", "/x")) for url in asked)
