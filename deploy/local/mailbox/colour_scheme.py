"""Show a mail's HTML as a reader with another colour scheme sees it."""

from __future__ import annotations

import re
from enum import StrEnum

_PREFERS = re.compile(r"\(\s*prefers-color-scheme\s*:\s*(dark|light)\s*\)", re.IGNORECASE)
_ALWAYS, _NEVER = "(min-width: 0)", "(max-width: 0)"


class ColourScheme(StrEnum):
    """The colours that a reader prefers."""

    LIGHT = "light"
    DARK = "dark"


def in_scheme(html: str, scheme: ColourScheme) -> str:
    """
    Return *html* as it looks in *scheme*, whatever the browser's own is: no browser lets a page choose for its frames.

    HTML that declares no colour scheme stays as it is, as in most mail programs.
    """
    if "color-scheme" not in html:
        return html
    chosen = _PREFERS.sub(lambda found: _ALWAYS if found[1].lower() == scheme else _NEVER, html)
    return f"{chosen}<style>:root {{ color-scheme: {scheme} !important }}</style>"
