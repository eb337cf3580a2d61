"""`pause-notifications dispatches`: the results of events, and how events end without a send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from deploy.command.dispatch_output import every_field, print_dispatches, print_recipients, summary_lines, with_feedback
from deploy.command.option_values import parse_position, parse_when
from deploy.command.waiting_event import WaitingEvent, find_waiting_event, print_why
from deploy.support.connections import reader, topics_of
from deploy.support.output import print_hint, print_json, print_line
from deploy.support.running import CommandFailed, exit_with_error, run
from deploy.support.scanning import follow_from, new_records, records_until
from runtime.clock import SystemClock
from runtime.feedback import FeedbackFold, Shown
from runtime.kafka.reader import Reader
from runtime.kafka.records import Place, Record
from runtime.settings import Settings, env_name
from runtime.signing_keys import read_signing_keys, sound_event
from schemas.cloudevents import NotAnEvent, decode
from schemas.dispatch import Dispatch, fold, parse_dispatch
from schemas.placement import partition_for
from schemas.positions import Position


def show(*, dispatch_id: str, at: str | None, from_when: str, wait: float, as_json: bool) -> None:
    """Show a dispatch: each recipient with its status and reason, and what became of the e-mail."""
    event_at = None if at is None else parse_position(at)
    start = parse_when(from_when)

    async def work(settings: Settings) -> _Found | None:
        topics = topics_of(settings)
        read = [topics.dispatches, topics.feedback, *(topics.events if event_at is not None else ())]
        async with reader(settings, of=read) as reading:
            dispatch = await _find(reading, settings, dispatch_id, event_at=event_at, start=start, wait=wait)
            if dispatch is not None:
                return _Found(dispatch, await _feedback(reading, settings, dispatch))
        waiting = await find_waiting_event(settings, dispatch_id, at=event_at, since=start)
        return None if waiting is None else _Found(waiting.dispatch, {}, waiting)

    found = run(work)
    if found is None:
        exit_with_error(f"no dispatch {dispatch_id} {'there' if at else f'since {from_when}'}{_advice(at)}")
    _print(found, as_json=as_json)
    if wait and not found.dispatch.final:
        exit_with_error(f"not final after {wait:g} s")


def list_dispatches(*, mentor: str, from_when: str, as_json: bool) -> None:
    """List the dispatches of a mentor, in the order of their events: what happened, and who was told."""
    found = run(lambda settings: _of_mentor(settings, mentor, parse_when(from_when)))
    if as_json:
        for one in found:
            print_json(every_field(one))
        return
    print_dispatches(found)
    if not found:
        print_hint(f"nothing since {from_when}; look further back with --since 7d")


async def _of_mentor(settings: Settings, mentor: str, start: datetime) -> list[Dispatch]:
    """Return the dispatches of a mentor; those of events that no replica has begun with are without recipients."""
    topics, keys = topics_of(settings), read_signing_keys(settings)
    async with reader(settings, of=[topics.dispatches, *topics.events]) as reading:
        partition = partition_for(mentor, len(await reading.partitions(topics.dispatches)))
        waiting: dict[str, Dispatch] = {}
        found: dict[str, Dispatch] = {}
        # The events are read first: a dispatch that is written meanwhile is found, too.
        of_events = [Place(topic, partition) for topic in topics.events]
        ends = await follow_from(reading, of_events, start)
        async for record in records_until(reading, ends):
            event, _ = sound_event(record, keys) or (None, None)
            if event is not None and event.mentor_id == mentor:
                waiting.setdefault(event.dispatch_id, Dispatch.of(event, record.origin))
        reading.unfollow(of_events)
        ends = await follow_from(reading, [Place(topics.dispatches, partition)], start)
        async for record in records_until(reading, ends):
            one = parse_dispatch(record.value)
            if one is not None and one.mentor_id == mentor:
                known = found.get(one.dispatch_id)
                found[one.dispatch_id] = one if known is None else fold(known, one)
        return sorted({**waiting, **found}.values(), key=lambda one: one.origin.appended_at)


@dataclass(frozen=True)
class _Found:
    """A dispatch, and the feedback of its recipients by contact id."""

    dispatch: Dispatch
    feedback: Mapping[str, Shown]
    waiting: WaitingEvent | None = None
    """Set if the dispatch is not written yet."""


def _advice(at: str | None) -> str:
    return (
        "; is a replica running?"
        if at
        else "; look further back with --since 7d, or give the position of its event with --at"
    )


async def _find(
    reading: Reader,
    settings: Settings,
    dispatch_id: str,
    *,
    event_at: Position | None,
    start: datetime,
    wait: float,
) -> Dispatch | None:
    places = await reading.partitions(topics_of(settings).dispatches)
    if event_at is not None:
        mentor_id, start = await _event_at(reading, event_at, dispatch_id)
        places = (places[partition_for(mentor_id, len(places))],)
    records = _DispatchRecords(dispatch_id)
    ends = await follow_from(reading, places, start)
    async for record in records_until(reading, ends):
        records.add(record)
    async for record in new_records(reading, within=wait, enough=lambda: records.final):
        records.add(record)
    return records.dispatch


async def _feedback(reading: Reader, settings: Settings, dispatch: Dispatch) -> Mapping[str, Shown]:
    """Return the feedback of each recipient that has any, read from the topic up to its present end."""
    topics, keys = topics_of(settings), read_signing_keys(settings)
    fold = FeedbackFold(dispatch, keys)
    if not fold.of_any:
        return {}
    reading.unfollow(await reading.partitions(topics.dispatches))
    ends = await follow_from(reading, [Place(topics.feedback, fold.partition)], fold.since)
    async for record in records_until(reading, ends):
        fold.take(record)
    shown = fold.shown(SystemClock().now(), overdue=settings.feedback_overdue)
    if shown and not keys:
        print_hint(f"Feedback is shown without proof: {env_name('signing_keys_file')} is not set here.")
    return shown


class _DispatchRecords:
    """Fold the records of one dispatch as they are read."""

    def __init__(self, dispatch_id: str) -> None:
        self._key = dispatch_id.encode()
        self.dispatch: Dispatch | None = None

    def add(self, record: Record) -> None:
        later = parse_dispatch(record.value) if record.key == self._key else None
        if later is not None:
            self.dispatch = later if self.dispatch is None else fold(self.dispatch, later)

    @property
    def final(self) -> bool:
        return self.dispatch is not None and self.dispatch.final


async def _event_at(reading: Reader, at: Position, dispatch_id: str) -> tuple[str, datetime]:
    """Return mentor and append time of the event at a position; raise CommandFailed if it is not this dispatch's."""
    record = await reading.record_at(Place(at.topic, at.partition), at.offset)
    if record is None:
        raise CommandFailed(f"there is no record at {at}, or it was deleted")
    try:
        event = decode(record.headers, record.value)
    except NotAnEvent as error:
        raise CommandFailed(f"the record at {at} is not a valid event ({error}); see: dead-letters list") from None
    if event.dispatch_id != dispatch_id:
        raise CommandFailed(f"the event at {at} belongs to another dispatch: {event.dispatch_id}")
    return event.mentor_id, record.appended_at


def _print(found: _Found, *, as_json: bool) -> None:
    if as_json:
        print_json(with_feedback(every_field(found.dispatch), found.feedback))
        return
    for text in summary_lines(found.dispatch):
        print_line(text)
    if found.waiting is not None:
        print_why(found.waiting)
    print_recipients(found.dispatch, found.feedback)
    if found.waiting is None and not found.dispatch.final:
        print_hint("not ended; what may hold it up: pause-notifications doctor")
