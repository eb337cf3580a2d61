"""Escape text from strangers for a terminal: control characters are shown and have no effect."""

from __future__ import annotations

import re

# C0, DEL and C1; characters that change the direction of text or end a line; lone surrogates, which cannot be written.
STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LAST_OF_LATIN_1 = "\u00ff"


def escaped(text: str) -> str:
    r"""Return a text without control characters: an escape character, for one, is shown as \x1b."""
    return STEERING.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    return f"\\x{ord(found[0]):02x}" if found[0] <= _LAST_OF_LATIN_1 else f"\\u{ord(found[0]):04x}"
