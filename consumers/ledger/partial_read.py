"""What a ledger must know of a dispatch record, found in its bytes: to read all of it costs twenty times as much.

Only the form in which `dispatch_json` writes is known here. Of anything else nothing is said: it is read in full.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from schemas.dispatch import Dispatch

_BEGINS_WITH_ID = len(b'{"dispatch_id":"')
_RECIPIENTS = b'"recipients":'
_SEEN = re.compile(rb'\],"ended_at":"[^"\\]*","seen_through":\{"([^"\\]+)":([0-9]+)\}\}')
_CALL = re.compile(
    rb'\{"dispatch_id":"[0-9a-f]{32}","event_type":"[^"\\]*","mentor_id":"([^"\\]*)","digest":"[^"\\]*",'
    rb'"origin":\{"topic":"([^"\\]*)","partition":[0-9]+,"offset":([0-9]+),'
)
_KEYLESS = b'"keyless":true}'


class Seen(NamedTuple):
    """The last copy of an event that a final record saw through; offset -1 where that is not known."""

    topic: str = ""
    offset: int = -1


class Called(NamedTuple):
    """Whose event a record is about, where that lies, and whether a keyless call brought it."""

    mentor_id: str
    topic: str
    offset: int
    keyless: bool


def glimpse_told(key: bytes, value: bytes) -> int | None:
    """Return the fingerprint of the recipients of a record with that *key*, or None where its bytes do not tell."""
    begin = value.find(b"[")
    if begin < 0 or not value.startswith(key, _BEGINS_WITH_ID) or not value.endswith(_RECIPIENTS, 0, begin):
        return None
    return _fingerprint(value[begin + 1 : value.rfind(b"]")])


def glimpse_seen(value: bytes) -> Seen | None:
    """Return the copy that a final record saw through, or None where its bytes do not tell."""
    found = _SEEN.fullmatch(value, max(value.rfind(b"]"), 0))
    return None if found is None else Seen(found[1].decode(), int(found[2]))


def glimpse_call(value: bytes) -> Called | None:
    """Return whose event a record is about, or None where its bytes do not tell."""
    found = _CALL.match(value)
    if found is None:
        return None
    mentor_id, topic, offset = found.groups()
    return Called(mentor_id.decode(), topic.decode(), int(offset), _KEYLESS in value)


def told_of(dispatch: Dispatch) -> int:
    """
    Return the fingerprint of the recipients of a record that was read.

    Records that tell the same recipients the same share it, hardly any others do. It is this process's own.
    """
    return _fingerprint(msgspec.json.encode(dispatch.recipients)[1:-1])


def seen_of(dispatch: Dispatch) -> Seen:
    """Return the copy that a record saw through."""
    return Seen(*next(iter(dispatch.seen_through.items()), Seen()))


def _fingerprint(told: bytes) -> int:
    return hash(told) & 0xFFFFFFFF


NOBODY = _fingerprint(b"")
"""The fingerprint of no recipients: of an unknown mentor's dispatch."""
