"""Every notice in a real Chromium: nothing overflows, all text can be read, and no reviewed picture has changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from deploy.command.gallery import CASES
from schemas.events import Role
from tests.browser.chromium import Scheme
from tests.browser.chromium import page as opened
from tests.browser.photos import (
    REVIEWED,
    SCHEMES,
    SET,
    SHOWN,
    WIDTHS,
    all_mails,
    browser_with_one_font,
    change,
    chosen,
    compressed,
    photograph,
    reviewed_file,
    show,
    shown_files,
)

# CI may have to install Chromium and the font first.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

ACCEPT = "look at the gallery, then run: .venv/bin/python -m tests.browser.photos --accept"
ALWAYS = {(320, "dark"), (800, "light")}
"""The pictures that every run compares: a narrow and a wide one, a dark and a light one."""
MOST_BYTES = 1_000_000
RIGHT_TO_LEFT = next(case.mentor for case in CASES if case.label == "right to left")

TOO_WIDE = """() => [...document.querySelectorAll("iframe")].flatMap((frame) => {
  const page = frame.contentDocument.documentElement;
  const right = (one) => one.getBoundingClientRect().right;
  const beyond = [...page.querySelectorAll("*")].filter((one) => right(one) > page.clientWidth + 1);
  return page.scrollWidth > page.clientWidth || beyond.length ? [frame.title] : [];
})"""
PALE = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = channels(colour).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((channels(colour)[3] ?? 1) === 1) return colour;
    }
    return "rgb(128, 128, 128)"; // nothing sets it, so a mail program may
  };
  const found = [];
  for (const frame of document.querySelectorAll("iframe")) {
    const texts = frame.contentDocument.createTreeWalker(frame.contentDocument.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const parent = texts.currentNode.parentElement;
      if (!texts.currentNode.data.trim() || !parent.getClientRects().length) continue;
      const [dark, bright] = [light(getComputedStyle(parent).color), light(behind(parent))].sort((a, b) => a - b);
      const ratio = (bright + 0.05) / (dark + 0.05);
      found.push([ratio, `${frame.title}: ${texts.currentNode.data.trim().slice(0, 40)}`]);
    }
  }
  return found;
}"""


# A mail program shows a mail's body within its own page, whose direction may be another. The text is a <pre> there.
NAME_BEFORE_ID = """([name, id]) => {
  const left = (node, at, text) => {
    const range = document.createRange();
    range.setStart(node, at);
    range.setEnd(node, at + text.length);
    return range.getBoundingClientRect().left;
  };
  const found = [];
  const look = (place, root) => {
    const texts = root.ownerDocument.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const node = texts.currentNode;
      const at = node.data.indexOf(id);
      const before = node.data.lastIndexOf(name, at); // in the same line
      if (at >= 0) found.push([place, left(node, before, name) < left(node, at, id)]);
    }
  };
  for (const frame of document.querySelectorAll("iframe")) {
    frame.contentDocument.documentElement.dir = "rtl";
    look(`${frame.title}, HTML`, frame.contentDocument.body);
  }
  for (const details of document.querySelectorAll("details")) {
    details.open = true;
    const text = details.querySelector("pre");
    text.style.unicodeBidi = "plaintext";
    look(`${details.closest("section").id}, text`, text);
  }
  return found;
}"""


@pytest_asyncio.fixture(name="browser", scope="module", loop_scope="module")
async def _browser() -> AsyncIterator[Browser]:
    async with browser_with_one_font() as browser:
        yield browser


@pytest_asyncio.fixture(name="whole", scope="module", loop_scope="module")
async def _whole(browser: Browser) -> AsyncIterator[Page]:
    """Open the gallery with all notices."""
    async with opened(browser) as one:
        await show(one, all_mails())
        yield one


@pytest_asyncio.fixture(name="studio", scope="module", loop_scope="module")
async def _studio(browser: Browser) -> AsyncIterator[Page]:
    """Open a page where each test shows what it photographs."""
    async with opened(browser) as one:
        yield one


@pytest.mark.parametrize("width", [320, 800, pytest.param(600, marks=pytest.mark.slow)])
async def test_no_notice_overflows(whole: Page, width: int) -> None:
    """On a phone and on a desk no notice is wider than its frame, whatever the names and reasons are."""
    await whole.set_viewport_size({"width": width, "height": 900})

    assert len(all_mails()) == await whole.locator("iframe").count()
    assert [] == await whole.evaluate(TOO_WIDE)
    assert width == await whole.evaluate("document.documentElement.scrollWidth")


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_all_text_has_contrast(whole: Page, scheme: Scheme) -> None:
    """In both schemes each text has the contrast of WCAG's level AA to what is behind it."""
    await whole.emulate_media(color_scheme=scheme)

    texts = await whole.evaluate(PALE)
    assert len(texts) > 5 * len(all_mails())
    assert [] == [text for text in texts if text[0] < 4.5]


async def test_contrast_is_of_the_scheme(whole: Page) -> None:
    """Frames follow the scheme of the page, so the test above saw each notice light and dark."""
    seen = set()
    for scheme in SCHEMES:
        await whole.emulate_media(color_scheme=scheme)
        seen.add(await whole.evaluate("getComputedStyle(document.querySelector('iframe').contentDocument.body).color"))
        seen.add(
            await whole.evaluate(
                "getComputedStyle(document.querySelector('iframe').contentDocument.body).backgroundColor"
            )
        )

    assert len(seen) > len(SCHEMES)


async def test_nothing_hostile_runs(whole: Page) -> None:
    """No name or reason becomes an element: no frame has a script, a picture or a link."""
    foreign = """[...document.querySelectorAll("iframe")].flatMap((frame) =>
      [...frame.contentDocument.querySelectorAll("script, img, a, iframe")].map(() => frame.title))"""

    assert [] == await whole.evaluate(foreign)


async def test_a_name_stands_before_its_id_whatever_the_direction_around_the_mail(studio: Page) -> None:
    """In a mail program from right to left, too, a right-to-left name is followed by its id, in HTML and text."""
    mails = [mail for mail in all_mails() if mail.case == "right to left" and mail.role is Role.COORDINATOR]
    await studio.set_viewport_size({"width": 800, "height": 900})
    await show(studio, mails)

    seen = await studio.evaluate(NAME_BEFORE_ID, [RIGHT_TO_LEFT, "(mentor-042)"])
    assert 2 * len(mails) == len(seen)
    assert [] == [place for place, is_before in seen if not is_before]


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        pytest.param(width, scheme, marks=() if (width, scheme) in ALWAYS else pytest.mark.slow)
        for width in WIDTHS
        for scheme in SCHEMES
    ],
)
async def test_no_picture_has_changed(studio: Page, width: int, scheme: Scheme) -> None:
    """The reviewed notices look as somebody has accepted them."""
    await show(studio, chosen(*SET))
    photo = await photograph(studio, width, scheme)

    seen = await change(studio, reviewed_file(width, scheme).read_bytes(), photo)
    assert not seen.is_seen, f"{reviewed_file(width, scheme).name} has changed ({seen}): {ACCEPT}"


class TestComparison:
    """The comparison of pictures sees what a reader would."""

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("has started", "has now started"),
            pytest.param("1 May 2026", "7 May 2026", marks=pytest.mark.slow),
            pytest.param("#ffffff", "#f0f0f0", marks=pytest.mark.slow),
        ],
    )
    async def test_another_word_or_colour_is_seen(self, studio: Page, before: str, after: str) -> None:
        """One more word, another digit or another background is a change."""
        mail = chosen(SET[0])[0]
        other = replace(mail, notice=replace(mail.notice, html=mail.notice.html.replace(before, after)))
        await show(studio, [mail])
        reviewed = await compressed(studio, await photograph(studio, 320, "light"))
        await show(studio, [other])
        photo = await photograph(studio, 320, "light")

        assert other != mail
        assert (await change(studio, reviewed, photo)).is_seen

    async def test_another_drawing_of_letters_is_not(self, studio: Page) -> None:
        """Letters that are drawn a part of a pixel further, and so have other edges, are the same letters."""
        await show(studio, chosen(SET[0]))
        usual = await photograph(studio, 320, "light")
        await studio.evaluate("document.body.style.transform = 'translate(0.3px, 0.3px) rotate(0.0005deg)'")
        await studio.evaluate("document.documentElement.style.overflow = 'hidden'")
        photo = await photograph(studio, 320, "light")

        assert usual != photo
        assert not (await change(studio, await compressed(studio, usual), photo)).is_seen


async def test_pictures_are_small() -> None:
    """All pictures together weigh less than a megabyte, and each of them is in use."""
    expected = {reviewed_file(width, scheme) for width in WIDTHS for scheme in SCHEMES}
    files = {*REVIEWED.iterdir(), *SHOWN.iterdir()}

    assert expected | {file for file, *_ in shown_files()} == files
    assert MOST_BYTES > sum(file.stat().st_size for file in files)
