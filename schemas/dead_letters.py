"""Dead letters: records that need a person, with all that it takes to judge and to replay them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from schemas import headers as names
from schemas.cloudevents import NotAnEventReason
from schemas.dispatch import Dispatch, Origin, dispatch_json, parse_dispatch
from schemas.headers import Headers, header, header_text
from schemas.positions import Position
from schemas.times import format_instant, parse_instant

DEAD_LETTERS_TOPIC = "pause-notifications.dead-letters.v1"

MAX_VALUE_BYTES = 256 * 1024
"""Longer values are cut here. A value that fitted into its topic when compressed may not fit into this one."""

_MAX_HEADERS_BYTES = 64 * 1024
_MAX_KEY_BYTES = 64 * 1024
_MAX_DETAIL_BYTES = 1024
_MOST_DIGITS = 19


class DeadLetterReason(StrEnum):
    """Why an event was dead-lettered. A record that is not a valid event has a `NotAnEventReason` instead."""

    FAILED = "failed"
    UNKNOWN = "unknown"
    UNKNOWN_MENTOR = "unknown_mentor"
    CONFLICTING_DUPLICATE = "conflicting_duplicate"
    UNPROVEN_SOURCE = "unproven_source"
    UNREADABLE_BATCH = "unreadable_batch"
    RECORDS_DELETED = "records_deleted"
    INVALID_FEEDBACK = "invalid_feedback"
    COORDINATOR_UNREACHABLE = "coordinator_unreachable"


@dataclass(frozen=True)
class DeadLetter:
    """One dead-lettered record, or a range of them."""

    reason: DeadLetterReason | NotAnEventReason
    origin: Origin
    key: bytes | None
    value: bytes | None
    headers: Headers
    detail: str = ""
    dispatch: Dispatch | None = None
    last_offset: int | None = None
    """The last offset, if the letter is for a range. Origin, key, value and headers are the first record's."""
    records: int = 1
    """How many records it stands for; for an unreadable batch, how many offsets."""

    @property
    def last(self) -> int:
        """Return the last offset that it stands for."""
        return self.origin.offset if self.last_offset is None else self.last_offset


def to_record(letter: DeadLetter) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]:
    """Return key, value and headers of a dead letter's record: those of the original, and our own headers."""
    origin = letter.origin
    ours: list[tuple[str, bytes | None]] = [
        (names.REASON, letter.reason.encode()),
        (names.ORIGIN, str(origin.position).encode()),
        (names.ORIGIN_APPENDED_AT, format_instant(origin.appended_at).encode()),
    ]
    if letter.detail:
        ours.append((names.DETAIL, letter.detail.encode()[:_MAX_DETAIL_BYTES].decode(errors="ignore").encode()))
    if letter.last_offset is not None:
        ours.append((names.LAST_OFFSET, str(letter.last_offset).encode()))
        ours.append((names.RECORDS, str(letter.records).encode()))
    if letter.dispatch is not None:
        ours.append((names.DISPATCH, dispatch_json(letter.dispatch)))
    value = letter.value
    if value is not None and len(value) > MAX_VALUE_BYTES:
        ours.append((names.VALUE_LENGTH, str(len(value)).encode()))
        ours.append((names.VALUE_SHA256, hashlib.sha256(value).hexdigest().encode()))
        value = value[:MAX_VALUE_BYTES]
    if value is None and letter.key is None:
        value = b""  # a record needs a key or a value; the reason tells that the value was null
    return _cut_key(letter.key), value, [*_fitting(letter.headers), *ours]


def _cut_key(key: bytes | None) -> bytes | None:
    return key if key is None else key[:_MAX_KEY_BYTES]


def from_record(key: bytes | None, value: bytes | None, headers: Headers) -> DeadLetter | None:
    """Read a dead letter back, or return None if the record is none."""
    reason, origin = header_text(headers, names.REASON), header_text(headers, names.ORIGIN)
    appended_at = header_text(headers, names.ORIGIN_APPENDED_AT)
    known: dict[str, DeadLetterReason | NotAnEventReason] = {
        member.value: member for kind in (DeadLetterReason, NotAnEventReason) for member in kind
    }
    if reason not in known or origin is None or appended_at is None:
        return None
    try:
        topic, partition, offset = Position.parse(origin)
        place = Origin(topic=topic, partition=partition, offset=offset, appended_at=parse_instant(appended_at))
    except ValueError:
        return None
    return DeadLetter(
        reason=known[reason],
        origin=place,
        key=key,
        value=value,
        headers=[_as_it_was(pair) for pair in headers if pair[0] not in _OURS],
        detail=header_text(headers, names.DETAIL) or "",
        dispatch=parse_dispatch(header(headers, names.DISPATCH)),
        last_offset=_number(headers, names.LAST_OFFSET),
        records=_number(headers, names.RECORDS) or 1,
    )


def _number(headers: Headers, name: str) -> int | None:
    text = header_text(headers, name) or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None


def _as_it_was(pair: tuple[str, bytes | None]) -> tuple[str, bytes | None]:
    """Return a header of the original under its original name; the letter has its own signature."""
    name, value = pair
    return (names.SIGNATURE, value) if name == names.ORIGIN_SIGNATURE else pair


_OURS = frozenset(
    {
        names.SIGNATURE,
        names.REASON,
        names.ORIGIN,
        names.ORIGIN_APPENDED_AT,
        names.DETAIL,
        names.DISPATCH,
        names.VALUE_LENGTH,
        names.VALUE_SHA256,
        names.LAST_OFFSET,
        names.RECORDS,
    }
)


def _fitting(headers: Headers) -> list[tuple[str, bytes | None]]:
    """Keep the original headers, except those of an earlier dead letter and those that make the record too large."""
    kept: list[tuple[str, bytes | None]] = []
    room = _MAX_HEADERS_BYTES
    for original, value in headers:
        name = names.ORIGIN_SIGNATURE if original == names.SIGNATURE else original
        size = len(name.encode()) + len(value or b"")
        theirs = name not in _OURS and original != names.ORIGIN_SIGNATURE
        if theirs and size <= room:
            kept.append((name, value))
            room -= size
    return kept
