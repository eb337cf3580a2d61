"""Read the Idempotency-Key, and derive the event's id from it, the endpoint, the caller and the mentor."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from service.problems import INVALID_KEY, Problem

_MAX_KEY_LENGTH = 255
_BARE_FORM = f"[!#-~]([ -~]{{0,{_MAX_KEY_LENGTH - 2}}}[!-~])?"
_QUOTED_FORM = f'"(([ !#-\\[\\]-~]|\\\\["\\\\]){{1,{_MAX_KEY_LENGTH}}})"'
KEY_PATTERN = f"^({_BARE_FORM}|{_QUOTED_FORM})$"
"""The form of the header, for the published document."""

_BARE = re.compile(_BARE_FORM)
_QUOTED = re.compile(_QUOTED_FORM)


def parse_key(values: Sequence[str]) -> str | None:
    """
    Return the key of the Idempotency-Key header, bare or as an RFC 8941 string; None if there is none.

    Raises:
        Problem: `invalid-key` if the header is not a valid key.
    """
    if not values:
        return None
    if len(values) > 1:
        raise Problem(INVALID_KEY, "Idempotency-Key is given more than once.")
    text = values[0].strip(" \t")
    quoted = _QUOTED.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    if not (quoted or _BARE.fullmatch(text)):
        raise Problem(INVALID_KEY, f"Idempotency-Key must be 1 to {_MAX_KEY_LENGTH} printable ASCII characters.")
    return key


def format_key(key: str) -> str:
    """Return a key as `parse_key` reads it: bare, or in quotes if it would otherwise be read differently."""
    if _BARE.fullmatch(key):
        return key
    quoted = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'


def event_id(endpoint: str, caller: str, mentor_id: str, key: str) -> str:
    """Return the event's id: the first 32 hex digits of SHA-256 over the four, joined by NUL."""
    return hashlib.sha256(f"{endpoint}\0{caller}\0{mentor_id}\0{key}".encode()).hexdigest()[:32]
