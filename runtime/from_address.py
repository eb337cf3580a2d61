"""Parse the From and Reply-To addresses: the settings and the SES client use one parser, so they never disagree."""

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
class NamedAddress:
    """An address, and the name that mail programs show for it (which may be empty)."""

    name: str
    address: str

    @property
    def header(self) -> str:
        """Return the value of a mail header: ASCII, and the name quoted if it must be."""
        if self.name.isascii():
            return formataddr((self.name, self.address))
        # SES takes a single line. A blank between encoded words does not belong to the name.
        words = Header(self.name, "utf-8", maxlinelen=_MAX_ENCODED_WORD).encode().split()
        return f"{' '.join(words)} <{self.address}>"


def parse_named_address(text: str) -> NamedAddress:
    """
    Parse `address`, `Name <address>` or `"Name" <address>`; the name may hold any printable character.

    Raises:
        ValueError: The text has none of these forms.
    """
    named = _NAMED.fullmatch(text)
    if named is None:
        return NamedAddress("", ascii_address(text.strip()))
    quoted, plain, address = named.groups()
    name = _decoded(plain if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted)).strip()
    if len(name) > MAX_NAME or any(unicodedata.category(character) in _UNPRINTABLE for character in name):
        raise ValueError(f"must be a name of at most {MAX_NAME} characters, none of them a control character")
    return NamedAddress(name, ascii_address(address.strip()))


def _decoded(name: str) -> str:
    """Decode a name that was encoded by hand, as the SES documentation asks for; return any other unchanged."""
    try:
        return str(make_header(decode_header(name))) if "=?" in name else name
    except (HeaderParseError, LookupError, ValueError):
        return name
