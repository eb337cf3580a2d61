"""Read dead letters from Kafka, and select those that the operator asks for."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from deploy.command.option_values import parse_when
from deploy.support.connections import topics_of
from deploy.support.output import print_error, readable
from deploy.support.scanning import follow_from, records_until
from runtime.kafka.reader import Reader
from runtime.kafka.records import Record
from runtime.settings import Settings
from runtime.signing_keys import proof_of
from schemas.cloudevents import NotAnEvent, decode
from schemas.dead_letters import DeadLetter, from_record
from schemas.events import Event
from schemas.headers import Headers
from schemas.positions import Position
from schemas.signatures import Proof, SigningKeys
from schemas.strict_json import NotJson, read_json
from schemas.times import format_instant

_DISPATCH_ID = re.compile(r"[0-9a-f]{32}")
_SOURCE_HEADERS = frozenset({"ce_source", "ce-source"})
_SOURCE_MEMBER = re.compile(rb'"source"\s*:\s*"([^"\\]*)"')
_AGES = (
    ("under 1h", timedelta(hours=1)),
    ("1h to 24h", timedelta(hours=24)),
    ("1d to 7d", timedelta(days=7)),
    ("over 7d", timedelta.max),
)

AGES = tuple(name for name, _ in _AGES)
"""The spans of age that letters are counted by, youngest first."""


def stated_source(headers: Headers, value: bytes | None) -> str | None:
    """Return the source that an invalid record states: in a header, or in its value, even if that is broken."""
    for name, text in headers:
        if name.lower() in _SOURCE_HEADERS and text is not None:
            return text.decode(errors="replace")
    source: object = None
    try:
        structured = read_json(value or b"")
    except NotJson:
        match = _SOURCE_MEMBER.search(value or b"")  # cut off, or broken elsewhere
        source = None if match is None else match[1].decode(errors="replace")
    else:
        source = structured.get("source") if isinstance(structured, dict) else None
    return source if isinstance(source, str) else None


@dataclass(frozen=True)
class StoredLetter:
    """A dead letter and the record that holds it."""

    record: Record
    letter: DeadLetter

    @property
    def at(self) -> str:
        """Its own position: topic-partition-offset."""
        return str(self.record.position)

    @property
    def origin(self) -> str:
        """The position of the record that was dead-lettered."""
        return str(self.letter.origin.position)

    @property
    def origins(self) -> str:
        """The positions of all records that it covers: one, or the first one and the last offset."""
        last = self.letter.last_offset
        return self.origin if last in {None, self.letter.origin.offset} else f"{self.origin} to {last}"

    def has_id(self, text: str) -> bool:
        """Check whether *text* is its dispatch id, its own position, or a position that it covers."""
        if text in {self.at, self.dispatch_id}:
            return True
        if _DISPATCH_ID.fullmatch(text):
            return False
        asked, first = Position.parse(text), self.letter.origin.position
        return asked[:2] == first[:2] and first.offset <= asked.offset <= self.letter.last

    @property
    def key(self) -> str:
        """The record's key as text: a mentor's id, if the producer follows the contract."""
        return readable(self.letter.key or b"")

    @property
    def mentor(self) -> str:
        """The mentor that it is about, as text; if only its key may tell, the key."""
        if self.letter.dispatch is not None:
            return readable(self.letter.dispatch.mentor_id.encode())
        return self.key if self.event is None else readable(self.event.mentor_id.encode())

    @cached_property
    def event(self) -> Event | None:
        """The event that it holds; None if there is none, or only a part of one."""
        try:
            return decode(self.letter.headers, self.letter.value)
        except NotAnEvent:
            return None

    def proof(self, keys: SigningKeys) -> Proof:
        """Return whether these keys prove that a replica wrote the letter."""
        return proof_of(self.record, keys)

    @property
    def dispatch_id(self) -> str | None:
        """The id of its dispatch; None if its record is not an event."""
        if self.letter.dispatch is not None:
            return self.letter.dispatch.dispatch_id
        return None if self.event is None else self.event.dispatch_id

    @property
    def source(self) -> str | None:
        """The event's source, or what an invalid record states as its source."""
        return stated_source(self.letter.headers, self.letter.value) if self.event is None else self.event.source

    def age(self, now: datetime) -> str:
        """Return its age as one of `AGES`."""
        return next(name for name, span in _AGES if now - self.record.appended_at < span)

    def as_json(self) -> dict[str, Any]:
        """Return what `list` shows, for scripts."""
        return {
            "at": self.at,
            "reason": self.letter.reason.value,
            "detail": self.letter.detail,
            "origin": self.origin,
            "last_offset": self.letter.last,
            "records": self.letter.records,
            "origin_appended_at": format_instant(self.letter.origin.appended_at),
            "set_aside_at": format_instant(self.record.appended_at),
            "key": self.key,
            "dispatch_id": self.dispatch_id,
        }


@dataclass(frozen=True)
class Selection:
    """Which dead letters are asked for: those that meet every condition that is set."""

    reasons: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    """Dispatch ids, and positions of the letter or of its origin."""
    source: str | None = None
    mentor: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def matches(self, stored: StoredLetter) -> bool:
        """Check whether a dead letter is asked for."""
        return (
            (not self.reasons or stored.letter.reason.value in self.reasons)
            and (not self.ids or any(map(stored.has_id, self.ids)))
            and (self.mentor is None or stored.mentor == self.mentor)
            and (self.since is None or stored.record.appended_at >= self.since)
            and (self.until is None or stored.record.appended_at < self.until)
            and (self.source is None or stored.source == self.source)
        )


async def selected_letters(reading: Reader, settings: Settings, asked: Selection) -> AsyncIterator[StoredLetter]:
    """Yield the selected dead letters up to the current end of their topic; report records that are none."""
    invalid, first = 0, ""
    places = await reading.partitions(topics_of(settings).dead_letters)
    ends = await follow_from(reading, places, asked.since)
    async for record in records_until(reading, ends):
        letter = from_record(record.key, record.value, record.headers)
        if letter is None:
            invalid, first = invalid + 1, first or str(record.position)
        elif asked.matches(stored := StoredLetter(record, letter)):
            yield stored
    if invalid:
        print_error(f"not shown: records that are not dead letters, {invalid} in all, the first at {first}")


def selection_of(
    reasons: list[str] | None,
    source: str | None,
    mentor: str | None,
    since: str | None,
    until: str | None,
    *,
    ids: Iterable[str] = (),
) -> Selection:
    """Return the selection that options describe; a span of time counts back from now."""
    return Selection(frozenset(reasons or ()), frozenset(ids), source, mentor, _instant(since), _instant(until))


def _instant(text: str | None) -> datetime | None:
    return None if text is None else parse_when(text).astimezone(UTC)
