"""Check addresses as SES does, with the texts of its errors."""

from __future__ import annotations

import re
from typing import Any

from deploy.local.ses.errors import bad_request

ADDRESS_LENGTH = 320

_LOCAL = r"""(?:[!-;=?A-~]+|"(?:[ !#-\[\]-~]|\\[ -~])+")"""  # printable ASCII without <, > and @; in quotes also these
_PLAIN = re.compile(rf"{_LOCAL}@[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_NAMED = re.compile(r"[ -~]*<([^<>]*)>")


def bare_address(given: Any) -> str:
    """Return the address in *given*, plain or ``Name <address>``; raise SesError if SES would refuse it."""
    if not isinstance(given, str):
        raise bad_request("An address must be a string.")

    if _PLAIN.fullmatch(given) and len(given) <= ADDRESS_LENGTH:
        return given

    if not given.isascii():
        raise bad_request("Address contains non-ASCII characters: encode the name (RFC 2047) and the domain (IDNA).")

    named = _NAMED.fullmatch(given)
    address = named[1] if named else given
    if not _PLAIN.fullmatch(address) or len(address) > ADDRESS_LENGTH:
        raise bad_request(_problem(address))

    return address


def belongs_to(address: str, identities: list[str]) -> bool:
    """Check whether the address or its domain is in *identities*, which are in lower case."""
    address = address.lower()
    return address in identities or address.rpartition("@")[2] in identities


def _problem(address: str) -> str:
    local, at, domain = address.rpartition("@")
    if not at or not domain:
        return "Missing final '@domain'"
    if not local:
        return "Missing local name"
    if any(character <= " " or character == "\x7f" for character in local):
        return "Local address contains control or whitespace"
    if any(character <= " " or character == "\x7f" for character in domain):
        return "Domain contains control or whitespace"
    return "Illegal address"
