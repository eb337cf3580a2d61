"""Judge a record before it is published: what replicas would do with it, by the code that they use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from schemas.cloudevents import NotAnEvent, decode
from schemas.dead_letters import DeadLetterReason
from schemas.events import EVENT_TOPICS, Event, Role
from schemas.headers import SIGNATURE, is_ours
from schemas.placement import Placement, placement_of
from schemas.times import format_instant
from schemas.written_records import WrittenRecord

_CLOCKS_DIFFER = timedelta(seconds=5)
"""By how much a producer's clock may be ahead before it is worth a note: nobody sees such a difference."""


@dataclass(frozen=True)
class Judgement:
    """What replicas would do with a record."""

    where: str
    event: Event | None = None
    reason: str = ""
    """Why it would become a dead letter: the code, or nothing."""
    detail: str = ""
    place: Placement | None = None
    """Where an event belongs."""
    misplaced: tuple[str, ...] = ()
    """What of topic, partition and key is wrong: the record would be moved."""
    unread: str = ""
    """The topic, if replicas do not read it: the record is neither moved nor a dead letter."""
    unjudged: tuple[str, ...] = ()
    """What of topic, partition and key is not written down, so that it may be wrong."""
    told: tuple[Role, ...] = ()
    """Whose e-mail follows."""
    notes: tuple[str, ...] = ()
    """What a producer should know, in words."""

    @property
    def is_right(self) -> bool:
        """Return whether there is nothing to correct: an event, in its place as far as that is known."""
        return not self.reason and not self.misplaced


def judge(record: WrittenRecord, *, partitions: int, namespace: str, now: datetime) -> Judgement:
    """Return the judgement about a record in topics with that many *partitions*, as if it was published *now*."""
    judgement = _judged(record, partitions, namespace, now)
    topic = record.stated.get("topic")
    if topic is None or topic in {_named(one, namespace) for one in EVENT_TOPICS}:
        return judgement
    note = f"nobody reads events from {topic}, so no e-mail follows from it there"
    return replace(judgement, unread=str(topic), told=(), notes=(note, *judgement.notes))


def _judged(record: WrittenRecord, partitions: int, namespace: str, now: datetime) -> Judgement:
    """Return the judgement about a record as if it was in a topic of events."""
    try:
        event = decode(record.headers, record.value)
    except NotAnEvent as error:
        notes = (*_assumed(record), *_unknown(error.unknown_fields))
        return Judgement(record.where, reason=error.reason, detail=error.detail, notes=notes)
    names = {name for name, _ in record.headers}
    if event.needs_proof and SIGNATURE not in names:
        detail = "the source or the type is reserved for our own programs, which sign their records"
        return Judgement(record.where, event, DeadLetterReason.UNPROVEN_SOURCE, detail)
    place, appended_at = placement_of(event, partitions), record.appended_at or now
    unjudged = tuple(name for name in place._fields if name not in record.stated)
    true_until = event.true_until(appended_at)
    late = true_until is not None and true_until < now
    return Judgement(
        record.where,
        event,
        place=place,
        misplaced=_misplaced(record, place, namespace),
        unjudged=unjudged,
        told=() if late else event.kind.roles,
        notes=(
            *_assumed(record),
            *([f"its place cannot be judged without its {listed(unjudged)}"] if unjudged else []),
            *([f"too late: its e-mail was true until {format_instant(true_until)}"] if late and true_until else []),
            *_of_event(event, appended_at),
            *(["its signature is not checked here: without a valid one it is unproven_source"] * event.needs_proof),
            *(["headers that begin with pn_ count only if they are signed"] if any(map(is_ours, names)) else []),
        ),
    )


def listed(names: tuple[str, ...]) -> str:
    """Return names as a sentence lists them."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _named(topic: str, namespace: str) -> str:
    return f"{namespace}.{topic}" if namespace else topic


def _misplaced(record: WrittenRecord, place: Placement, namespace: str) -> tuple[str, ...]:
    right = place._asdict()
    right["topic"] = _named(place.topic, namespace)
    return tuple(name for name in right if name in record.stated and record.stated[name] != right[name])


def _assumed(record: WrittenRecord) -> tuple[str, ...]:
    return (f"assumed: {record.assumed}",) if record.assumed else ()


def _of_event(event: Event, appended_at: datetime) -> list[str]:
    notes = []
    if event.time_unreadable:
        notes.append("time: is unreadable (RFC 3339 with a zone), so the time of its append counts")
    elif event.time is None:
        notes.append("time: is missing, so the time of its append counts")
    elif event.time > appended_at + _CLOCKS_DIFFER:
        notes.append("time: is in the future, so the time of its append counts")
    if event.id.startswith('"'):
        notes.append("id: begins with a double quote, as if a header mapper wrote it as JSON")
    return [*notes, *_unknown(event.unknown_fields)]


def _unknown(fields: tuple[str, ...]) -> list[str]:
    return [f"unknown fields are ignored: {', '.join(fields)}"] if fields else []
