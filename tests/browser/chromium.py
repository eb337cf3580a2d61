"""A page of a real Chromium, Debian's, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Literal

from playwright.async_api import Browser, Page, async_playwright

from tests.contract.installed import need

Scheme = Literal["light", "dark"]


def chromium() -> str | None:
    """Return where Chromium is."""
    return shutil.which("chromium")


def need_chromium() -> None:
    """Return if Chromium is installed; otherwise install it in CI, or skip and say what to do."""
    need(lambda: chromium() is not None, "chromium")


@asynccontextmanager
async def running_chromium(
    *arguments: str, environ: Mapping[str, str | float | bool] | None = None
) -> AsyncIterator[Browser]:
    """Start Chromium, with variables besides our own; it takes seconds, and serves many tests."""
    need_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", *arguments], env={**os.environ, **(environ or {})}
        )
        yield browser
        await browser.close()


@asynccontextmanager
async def page(
    browser: Browser, *, width: int = 1280, height: int = 900, scheme: Scheme = "light"
) -> AsyncIterator[Page]:
    """Open an empty page. At the end, fail if it logged an error or asked another host for anything."""
    opened = await browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    opened.on("request", lambda request: _check_host(request.url, errors))
    yield opened
    await opened.close()
    assert [] == errors


def _check_host(url: str, errors: list[str]) -> None:
    if not url.startswith(("http://127.0.0.1:", "data:", "blob:")):
        errors.append(f"asks {url}")
