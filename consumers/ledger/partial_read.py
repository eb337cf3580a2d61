"""Reads from a dispatch record's bytes only what a ledger needs: a full read takes twenty times as long.

Only the form that `dispatch_json` writes is recognised. For any other the functions return None, and the record is
read in full.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from typing import NamedTuple

import msgspec

from schemas.dispatch import Dispatch, Status

_ID_BEGINS = len(b'{"dispatch_id":"')
_ID_LENGTH = 32
_QUOTE = b'"'
_RECIPIENTS = b'"recipients":'
_PROCESSED = re.compile(rb'\],"ended_at":"[^"\\]*","seen_through":\{"([^"\\]+)":([0-9]{1,18})\}\}')
_CALL = re.compile(
    rb'\{"dispatch_id":"[0-9a-f]{32}","event_type":"[^"\\]*","mentor_id":"([^"\\]*)","digest":"[^"\\]*",'
    rb'"origin":\{"topic":"([^"\\]*)","partition":[0-9]+,"offset":([0-9]{1,18}),'
)
_UNKNOWN = b'"status":"unknown"'
_KEYLESS = b'"keyless":true}'
_FINGERPRINTS = 0xFFFFFFFF


NO_RECIPIENTS = hash(b"") & _FINGERPRINTS
"""The fingerprint of an unknown mentor's dispatch."""


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


def read_final(key: bytes, value: bytes) -> tuple[bytes, int] | None:
    """Return the id of a record with that *key*, in 16 bytes, and the fingerprint of its recipients."""
    begin = value.find(b"[")
    if (
        len(key) != _ID_LENGTH
        or not key.islower()
        or not value.startswith(key + _QUOTE, _ID_BEGINS)
        or value[begin - len(_RECIPIENTS) : begin] != _RECIPIENTS
    ):
        return None
    try:
        return unhexlify(key), hash(value[begin + 1 : value.rfind(b"]")]) & _FINGERPRINTS
    except ValueError:
        return None


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
    return hash(msgspec.json.encode(dispatch.recipients)[1:-1]) & _FINGERPRINTS


def may_be_in_doubt(value: bytes) -> bool:
    """Return whether a record may have a recipient at `unknown`: True also if only a text says so."""
    return _UNKNOWN in value


def is_in_doubt(dispatch: Dispatch) -> bool:
    """Return whether a record that was read in full has a recipient at `unknown`."""
    return any(recipient.status is Status.UNKNOWN for recipient in dispatch.recipients)


def processed_of(dispatch: Dispatch) -> Processed:
    """Return the delivery that was processed for a record that was read in full."""
    return Processed(*next(iter(dispatch.seen_through.items()), Processed()))
