"""Dead letters as they lie in Kafka, and which of them a person asks for."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Annotated, Any

import typer

from deploy.support.connections import topics_of
from deploy.support.output import shown, tell
from deploy.support.scanning import follow_from, position, since, to_end
from runtime.kafka.reader import Reader
from runtime.kafka.records import Record
from runtime.settings import Settings
from schemas.cloudevents import NotAnEvent, NotAnEventReason, decode
from schemas.dead_letters import DeadLetter, DeadLetterReason, from_record
from schemas.events import Event
from schemas.headers import Headers
from schemas.positions import Position
from schemas.signatures import Proof, SigningKeys
from schemas.strict_json import NotJson, read_json
from schemas.times import format_instant

_ID = re.compile(r"[0-9a-f]{32}")
_SOURCE_HEADERS = frozenset({"ce_source", "ce-source"})
_SOURCE_MEMBER = re.compile(rb'"source"\s*:\s*"([^"\\]*)"')
_REASONS = tuple(reason.value for kind in (DeadLetterReason, NotAnEventReason) for reason in kind)
_AGES = (
    ("under 1h", timedelta(hours=1)),
    ("1h to 24h", timedelta(hours=24)),
    ("1d to 7d", timedelta(days=7)),
    ("over 7d", timedelta.max),
)

AGES = tuple(name for name, _ in _AGES)
"""The spans that ages are counted by, youngest first."""


def stated_source(headers: Headers, value: bytes | None) -> str | None:
    """Return the source that a record states which is no event: in a header, or in its value however broken that is."""
    for name, text in headers:
        if name.lower() in _SOURCE_HEADERS and text is not None:
            return text.decode(errors="replace")
    source: object = None
    try:
        structured = read_json(value or b"")
    except NotJson:
        found = _SOURCE_MEMBER.search(value or b"")  # cut, or broken elsewhere
        source = None if found is None else found[1].decode(errors="replace")
    else:
        source = structured.get("source") if isinstance(structured, dict) else None
    return source if isinstance(source, str) else None


@dataclass(frozen=True)
class Found:
    """A dead letter and where it lies."""

    record: Record
    letter: DeadLetter

    @property
    def at(self) -> str:
        """Its own place: topic-partition-offset."""
        return str(self.record.position)

    @property
    def origin(self) -> str:
        """The place of the record that was set aside."""
        return str(self.letter.origin.position)

    @property
    def span(self) -> str:
        """Where the records lie that it stands for: the place of one, or of the first with the last offset."""
        last = self.letter.last_offset
        return self.origin if last in {None, self.letter.origin.offset} else f"{self.origin} to {last}"

    def stands_for(self, which: str) -> bool:
        """Return whether *which* is its dispatch, its own place, or a place that it stands for."""
        if which in {self.at, self.dispatch_id}:
            return True
        if _ID.fullmatch(which):
            return False
        asked, first = Position.parse(which), self.letter.origin.position
        return asked[:2] == first[:2] and first.offset <= asked.offset <= self.letter.last

    @property
    def key(self) -> str:
        """The record's key as text: a mentor's id, if the producer kept to the contract."""
        return shown(self.letter.key or b"")

    @cached_property
    def event(self) -> Event | None:
        """The event that it holds; None if it is no event, or is not whole."""
        try:
            return decode(self.letter.headers, self.letter.value)
        except NotAnEvent:
            return None

    def proof(self, keys: SigningKeys) -> Proof:
        """Return whether a replica of ours wrote the letter, as far as these keys tell."""
        record = self.record
        return keys.check(record.topic, record.key, record.value, record.headers)

    @property
    def dispatch_id(self) -> str | None:
        """The dispatch it belongs to, where its record is an event at all."""
        if self.letter.dispatch is not None:
            return self.letter.dispatch.dispatch_id
        return None if self.event is None else self.event.dispatch_id

    @property
    def source(self) -> str | None:
        """Who published it, as the event says, or what is none says in a header or its value."""
        return stated_source(self.letter.headers, self.letter.value) if self.event is None else self.event.source

    def age(self, now: datetime) -> str:
        """Return the span of `AGES` in which it was set aside."""
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
    """Which dead letters are asked for: those that meet all that is stated."""

    reasons: frozenset[str] = frozenset()
    which: frozenset[str] = frozenset()
    """Dispatch ids, and places: the letter's own or its origin's."""
    source: str | None = None
    mentor: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, found: Found) -> bool:
        """Return whether a dead letter is asked for."""
        return (
            (not self.reasons or found.letter.reason.value in self.reasons)
            and (not self.which or any(map(found.stands_for, self.which)))
            and (self.mentor is None or found.key == self.mentor)
            and (self.since is None or found.record.appended_at >= self.since)
            and (self.until is None or found.record.appended_at < self.until)
            and (self.source is None or found.source == self.source)
        )


async def letters(reading: Reader, settings: Settings, asked: Selection) -> AsyncIterator[Found]:
    """Yield the dead letters asked for, up to the end of their topic as it is now; tell of records that are none."""
    strangers, first = 0, ""
    places = await reading.partitions(topics_of(settings).dead_letters)
    ends = await follow_from(reading, places, asked.since)
    async for record in to_end(reading, ends):
        letter = from_record(record.key, record.value, record.headers)
        if letter is None:
            strangers, first = strangers + 1, first or str(record.position)
        elif asked.takes(found := Found(record, letter)):
            yield found
    if strangers:
        tell(f"not shown: records that are no dead letters of ours, {strangers} in all, the first at {first}")


def is_which(text: str) -> str:
    """Read a dispatch id or topic-partition-offset; a usage error for anything else."""
    if not _ID.fullmatch(text):
        position(text)
    return text


def _reasons(given: list[str] | None) -> list[str]:
    if not {*(given or ())} <= {*_REASONS}:
        raise typer.BadParameter("must be one of " + ", ".join(_REASONS))
    return given or []


def _which(given: list[str] | None) -> list[str]:
    return [is_which(text) for text in given or ()]


def _when(text: str | None) -> str | None:
    if text is not None:
        since(text)
    return text


def instant(text: str | None) -> datetime | None:
    """Return the instant that an option names, counted from now where it is a span."""
    return None if text is None else since(text).astimezone(UTC)


Reasons = Annotated[
    list[str] | None,
    typer.Option(
        "--reason", metavar="REASON", callback=_reasons, help="Only those set aside for it; may be given several times."
    ),
]
Which = Annotated[
    list[str] | None,
    typer.Option(
        "--id",
        metavar="DISPATCH_ID|TOPIC-PARTITION-OFFSET",
        callback=_which,
        help="Only those of this dispatch, or at this place; may be given several times.",
    ),
]
Source = Annotated[str | None, typer.Option(metavar="URI", help="Only events of this producer.")]
Mentor = Annotated[str | None, typer.Option(metavar="ID", help="Only those about this mentor.")]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        callback=_when,
        help="Only those set aside in the last 90m, 24h, 7d, or since a time.",
    ),
]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="WHEN", callback=_when, help="Only those set aside before that; as --since."),
]
