"""Make text that others wrote safe to show: names, ids and reasons."""

from __future__ import annotations

import re
import unicodedata

MAX_NAME = 120
"""The longest name that is shown whole, in characters. A longer one would hide the words around it."""

# Control characters, line breaks, lone surrogates, non-characters (which mark a page's gaps), and characters that turn
# the direction of the text around them.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef]")
# What mail programs turn into a link by themselves: a scheme, a path to a server, a host name before its last part.
_LINK = re.compile(r":(?=//)|(?<=[^\W\d_]):(?=\S)|\\(?=\\)|(?<=\w)[.\u3002\uff0e\uff61](?=[^\W\d_]{2})")
# ... and a telephone number, or an IP address.
_NUMBER = re.compile(r"(?<!\w)\+?\d(?:[\s()./\u2010-\u2015-]{0,3}\d){5,}|\d{1,3}(?:\.\d{1,3}){3}")
_BREAK = "\u200b"  # a space without width: the reader sees none, the mail program sees no link

_LETTER = "[A-Za-z\u00c0-\u024f]"
# Most names and ids are found harmless by this pattern alone, in a quarter of the time.
_HARMLESS = re.compile(rf"{_LETTER}(?:[ '_-]?{_LETTER})*(?:[ '_-]?[0-9]{{1,5}})?")
_ID = re.compile(r"(?:[A-Za-z][A-Za-z_-]*)?[0-9]*")

_FROM_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
_ISOLATE, _END_OF_ISOLATE = "\u2068", "\u2069"


def line(text: str) -> str:
    """Make foreign text one visible line in which no mail program finds a link, and which turns no text around it."""
    if _HARMLESS.fullmatch(text):
        return text
    shown = _LINK.sub(lambda found: found[0] + _BREAK, _one_line(text))
    return _isolated(_NUMBER.sub(lambda found: _BREAK.join(found[0]), shown))


def name_line(text: str) -> str:
    """Make a person's name such a line, of at most MAX_NAME characters."""
    return line(text if len(text) <= MAX_NAME else text[: MAX_NAME - 1].rstrip() + "…")


def id_line(text: str) -> str:
    """Make a foreign id such a line. A number, also after a word, is left as it is, so that it can be copied."""
    return text if _ID.fullmatch(text) else line(text)


def _one_line(text: str) -> str:
    printable = text if text.isprintable() else _UNPRINTABLE.sub(" ", text)
    return " ".join(printable.split())


def _isolated(text: str) -> str:
    """
    Isolate a text that is written from right to left.

    Isolates are characters, as they work in subjects and plain text, too, and many mail programs drop `<bdi>`.
    """
    if text.isascii() or _FROM_RIGHT_TO_LEFT.isdisjoint(map(unicodedata.bidirectional, text)):
        return text
    return f"{_ISOLATE}{text}{_END_OF_ISOLATE}"
