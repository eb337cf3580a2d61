"""What strangers wrote, for a terminal: whatever could steer it is shown and does nothing."""

from __future__ import annotations

import re

# C0, DEL, C1; what changes the direction of a text, or ends a line; halves of surrogate pairs, which cannot be written.
STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LAST_OF_LATIN_1 = "\u00ff"


def escaped(text: str) -> str:
    r"""Return a text without anything that steers a terminal: an escape character is shown as \x1b."""
    return STEERING.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    return f"\\x{ord(found[0]):02x}" if found[0] <= _LAST_OF_LATIN_1 else f"\\u{ord(found[0]):04x}"
