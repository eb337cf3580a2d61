"""
Photographs of some notices, and how they are compared with reviewed ones.

After a text or the layout was changed on purpose, run this, and look at what has changed before you commit it:

    .venv/bin/python -m tests.browser.photos --accept

Browsers draw the edges of letters in different ways, up to a pixel further. So a pixel counts as changed if its
grey is far from all nine pixels around its place, in either picture. Another letter changes some, another word
hundreds. Areas are compared by the mean colour of squares of 8 x 8 pixels, which edges change little. All letters are
of one font, DejaVu, in which names from right to left can be written, too.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.async_api import Browser, Page

from consumers.notices.notices import Notice, Notices
from deploy.command.gallery import CASES, Case, Mail, mails_of, page
from deploy.command.preview import render
from schemas.events import Role
from tests.browser.chromium import Scheme, running_chromium
from tests.browser.chromium import page as opened
from tests.contract.installed import need

ROOT = Path(__file__).parents[2]
REVIEWED = ROOT / "tests" / "browser" / "pictures"
SHOWN = ROOT / "docs" / "pictures"
FONTS = Path("/usr/share/fonts/truetype/dejavu")

WIDTHS = (320, 600, 800)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
SET = (
    "en.pause-activated.mentor.usual",
    "en.pause-activated.coordinator.long",
    "de.cert-expiry-reminder.mentor.usual",
    "en.pause-lifted.coordinator.right-to-left",
    "de.notice-undelivered.coordinator.hostile",
    "en.cert-expiry.mentor.nobody-named",
)
"""The notices on the reviewed pictures: each event, both roles, and each kind of name."""
IN_README: tuple[tuple[str, int, Scheme], ...] = (
    ("en.pause-activated.mentor.usual", 400, "light"),
    ("en.pause-activated.coordinator.usual", 400, "dark"),
    ("de.cert-expiry-reminder.mentor.usual", 400, "light"),
)
"""The row of pictures in the README."""

MOST_PIXELS = 8
"""How many pixels may be far from all around their place."""
MOST_SQUARES = 0.1
"""The share of squares that may have another mean colour."""
_QUALITY = 0.2  # of 1; what it blurs is less than what counts as changed
_FAR, _ANOTHER_COLOUR = 96, 8  # of 255

_LOADED = """
  async function drawn(address, scale) {
    const picture = new Image();
    picture.src = address;
    await picture.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [Math.ceil(picture.width / scale), Math.ceil(picture.height / scale)];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    return { canvas, context };
  }
  async function colours(address, scale) {
    const { canvas: { width, height }, context } = await drawn(address, scale);
    return { width, height, data: context.getImageData(0, 0, width, height).data };
  }
"""
_CHANGED = f"""async ([one, other, far, another]) => {{{_LOADED}
  const [a, b] = [await colours(one, 1), await colours(other, 1)];
  if (a.width !== b.width || a.height !== b.height) return null;
  const grey = ({{ data }}, at) => (3 * data[4 * at] + 6 * data[4 * at + 1] + data[4 * at + 2]) / 10;
  function lonely(value, picture, at) {{
    for (const row of [-picture.width, 0, picture.width])
      for (const near of [at + row - 1, at + row, at + row + 1])
        if (!(Math.abs(grey(picture, near) - value) > far)) return false; // nor beyond the border
    return true;
  }}
  let pixels = 0;
  for (let at = 0; at < a.width * a.height; at += 1) {{
    const [x, y] = [grey(a, at), grey(b, at)];
    if (Math.abs(x - y) > far && (lonely(x, b, at) || lonely(y, a, at))) pixels += 1;
  }}
  const [c, d] = [await colours(one, 8), await colours(other, 8)];
  let squares = 0;
  for (let at = 0; at < c.data.length; at += 4)
    if ([0, 1, 2].some((part) => Math.abs(c.data[at + part] - d.data[at + part]) > another)) squares += 1;
  return [pixels, (4 * squares) / c.data.length];
}}"""
_COMPRESSED = f"""async ([address, quality]) => {{{_LOADED}
  return (await drawn(address, 1)).canvas.toDataURL("image/webp", quality);
}}"""


@asynccontextmanager
async def browser_with_one_font() -> AsyncIterator[Browser]:
    """Start a Chromium that knows one font and draws it alike on every machine, as far as it can."""
    need(FONTS.exists, "fonts-dejavu-core")
    with TemporaryDirectory() as folder:
        configuration = Path(folder) / "fonts.conf"
        configuration.write_text(
            f"<fontconfig><dir>{FONTS}</dir><cachedir>{folder}/cache</cachedir>"
            "<match><edit name='family' mode='assign'><string>DejaVu Sans</string></edit></match></fontconfig>",
            encoding="utf-8",
        )
        drawing = ("--font-render-hinting=none", "--disable-lcd-text", "--force-color-profile=srgb")
        async with running_chromium(*drawing, environ={"FONTCONFIG_FILE": str(configuration)}) as browser:
            yield browser


@cache
def all_mails() -> Sequence[Mail]:
    """Return all notices of the gallery."""
    notices = Notices()

    def rendered(name: str, role: Role, language: str, case: Case) -> Notice:
        return render(notices, name, role, language, case=case)

    return mails_of(CASES, rendered)


def chosen(*names: str) -> list[Mail]:
    """Return notices by their names, in this order."""
    by_name = {mail.id: mail for mail in all_mails()}
    return [by_name[name] for name in names]


async def show(one: Page, mails: Sequence[Mail]) -> None:
    """Show the gallery of these notices; all frames are loaded. To open another page costs a second of CPU."""
    await one.set_content(page(mails), wait_until="load")


async def photograph(one: Page, width: int, scheme: Scheme) -> bytes:
    """Return a picture of the whole page, as PNG."""
    await one.emulate_media(color_scheme=scheme)
    await one.set_viewport_size({"width": width, "height": 720})
    await one.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return await one.screenshot(full_page=True)


@dataclass(frozen=True)
class Change:
    """How much a picture differs from another of the same size."""

    pixels: int
    squares: float

    @property
    def is_seen(self) -> bool:
        """Return whether it is more than another way of drawing the same."""
        return self.pixels > MOST_PIXELS or self.squares > MOST_SQUARES


ANOTHER_SIZE = Change(sys.maxsize, 1.0)


async def change(one: Page, reviewed: bytes, photo: bytes) -> Change:
    """Return how much a photograph differs from a reviewed picture; *one* is any page."""
    pictures = [_address(reviewed, "webp"), _address(photo, "png")]
    found: tuple[int, float] | None = await one.evaluate(_CHANGED, [*pictures, _FAR, _ANOTHER_COLOUR])
    return ANOTHER_SIZE if found is None else Change(*found)


async def compressed(one: Page, photo: bytes) -> bytes:
    """Return a picture as WebP."""
    address: str = await one.evaluate(_COMPRESSED, [_address(photo, "png"), _QUALITY])
    return base64.b64decode(address.partition(",")[2])


def _address(picture: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def reviewed_file(width: int, scheme: Scheme) -> Path:
    """Return where a reviewed picture is."""
    return REVIEWED / f"{width}-{scheme}.webp"


def shown_files() -> Iterator[tuple[Path, str, int, Scheme]]:
    """Yield where each picture of the README is, and what it shows."""
    for name, width, scheme in IN_README:
        yield SHOWN / f"{name}.{scheme}.webp", name, width, scheme


async def accept() -> None:
    """Take all pictures anew."""
    REVIEWED.mkdir(exist_ok=True)
    SHOWN.mkdir(parents=True, exist_ok=True)
    async with browser_with_one_font() as browser, opened(browser) as one:
        await show(one, chosen(*SET))
        for width, scheme in product(WIDTHS, SCHEMES):
            _write(reviewed_file(width, scheme), await compressed(one, await photograph(one, width, scheme)))
        for file, name, width, scheme in shown_files():
            await one.set_content(chosen(name)[0].notice.html)
            _write(file, await compressed(one, await photograph(one, width, scheme)))


def _write(file: Path, picture: bytes) -> None:
    file.write_bytes(picture)
    sys.stdout.write(f"{file.relative_to(ROOT)}: {len(picture) / 1000:.0f} kB\n")


def main() -> int:
    """Accept the pictures as they are now."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.photos", description=main.__doc__)
    parser.add_argument("--accept", action="store_true", required=True, help="write the reviewed pictures anew")
    parser.parse_args()
    asyncio.run(accept())
    return 0


if __name__ == "__main__":
    sys.exit(main())
