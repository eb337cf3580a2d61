"""A sender's mailbox: one parser for the settings and for SES, so that what passes the one cannot fail the other."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import Header, decode_header, make_header
from email.utils import formataddr

from schemas.addresses import ascii_address

MAX_NAME = 128
"""The longest name, in characters: encoded it stays well within a line of 998."""

_MAX_ENCODED_WORD = 75  # RFC 2047, section 2
_NAMED = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^<>]*?))\s*<([^<>]*)>\s*', re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)")
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True)
class Mailbox:
    """An address, and the name that mail programs show for it (which may be empty)."""

    name: str
    address: str

    @property
    def header(self) -> str:
        """Return the mailbox as a header says it: in ASCII, the name quoted where it must be."""
        if self.name.isascii():
            return formataddr((self.name, self.address))
        # SES takes one line: between encoded words a blank is no part of the name.
        words = Header(self.name, "utf-8", maxlinelen=_MAX_ENCODED_WORD).encode().split()
        return f"{' '.join(words)} <{self.address}>"


def parse_mailbox(text: str) -> Mailbox:
    """
    Read `address`, `Name <address>` or `"Name" <address>`; the name may hold any sign that can be printed.

    Raises:
        ValueError: it is no such thing.
    """
    named = _NAMED.fullmatch(text)
    if named is None:
        return Mailbox("", ascii_address(text.strip()))
    quoted, plain, address = named.groups()
    name = _decoded(plain if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted)).strip()
    if len(name) > MAX_NAME or any(unicodedata.category(character) in _UNPRINTABLE for character in name):
        raise ValueError(f"must be a name of at most {MAX_NAME} characters, none of them a control character")
    return Mailbox(name, ascii_address(address.strip()))


def _decoded(name: str) -> str:
    """Read a name that was encoded by hand, as SES's documents ask for it; any other stays as it is."""
    try:
        return str(make_header(decode_header(name))) if "=?" in name else name
    except (HeaderParseError, LookupError, ValueError):
        return name
