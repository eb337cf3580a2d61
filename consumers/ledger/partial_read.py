"""Reads from a dispatch record's bytes only what a ledger needs: a full read takes twenty times as long.

Only the form that `dispatch_json` writes is recognised. For any other the functions return None, and the record is
read in full.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from typing import NamedTuple

import msgspec

from schemas.dispatch import Dispatch

_ID_BEGINS = len(b'{"dispatch_id":"')
_ID_LENGTH = 32
_QUOTE = b'"'
_RECIPIENTS = b'"recipients":'
_PROCESSED = re.compile(rb'\],"ended_at":"[^"\\]*","seen_through":\{"([^"\\]+)":([0-9]{1,18})\}\}')
_CALL = re.compile(
    rb'\{"dispatch_id":"[0-9a-f]{32}","event_type":"[^"\\]*","mentor_id":"([^"\\]*)","digest":"[^"\\]*",'
    rb'"origin":\{"topic":"([^"\\]*)","partition":[0-9]+,"offset":([0-9]{1,18}),'
)
_KEYLESS = b'"keyless":true}'


class Processed(NamedTuple):
    """The last delivery of an event that was processed for a final record; offset -1 if that is not known."""

    topic: str = ""
    offset: int = -1


class Call(NamedTuple):
    """The event of a record: whose it is, where it is, and whether a call without a key brought it."""

    mentor_id: str
    topic: str
    offset: int
    keyless: bool


def read_id(key: bytes, value: bytes) -> bytes | None:
    """Return the 16 bytes of the id of a record with that *key*."""
    if len(key) != _ID_LENGTH or not key.islower() or not value.startswith(key + _QUOTE, _ID_BEGINS):
        return None
    try:
        return unhexlify(key)
    except ValueError:
        return None


def read_recipients_fingerprint(value: bytes) -> int | None:
    """Return the fingerprint of the recipients of a record."""
    begin = value.find(b"[")
    if begin < 0 or not value.endswith(_RECIPIENTS, 0, begin):
        return None
    return _fingerprint(value[begin + 1 : value.rfind(b"]")])


def read_processed(value: bytes) -> Processed | None:
    """Return the delivery that was processed for a final record."""
    found = _PROCESSED.fullmatch(value, max(value.rfind(b"]"), 0))
    return None if found is None else Processed(found[1].decode(), int(found[2]))


def read_call(value: bytes) -> Call | None:
    """Return the event of a record."""
    found = _CALL.match(value)
    if found is None:
        return None
    mentor_id, topic, offset = found.groups()
    return Call(mentor_id.decode(), topic.decode(), int(offset), _KEYLESS in value)


def recipients_fingerprint(dispatch: Dispatch) -> int:
    """
    Return a number that records share if their recipients are in the same state, and hardly any others share.

    It is valid in this process only.
    """
    return _fingerprint(msgspec.json.encode(dispatch.recipients)[1:-1])


def processed_of(dispatch: Dispatch) -> Processed:
    """Return the delivery that was processed for a record that was read in full."""
    return Processed(*next(iter(dispatch.seen_through.items()), Processed()))


def _fingerprint(recipients: bytes) -> int:
    return hash(recipients) & 0xFFFFFFFF


NO_RECIPIENTS = _fingerprint(b"")
"""The fingerprint of an unknown mentor's dispatch."""
