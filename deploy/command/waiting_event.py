"""An event whose dispatch is not written yet: where it is, and which controls keep it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime

from deploy.command.controls.stored import stored_controls
from deploy.command.controls.wording import undo, what
from deploy.support.connections import reader, topics_of
from deploy.support.output import print_hint, print_line, status
from deploy.support.scanning import follow_from, records_until
from runtime.kafka.reader import Reader
from runtime.kafka.records import Place, Record
from runtime.kafka.topics import Topics
from runtime.settings import Settings
from runtime.signing_keys import read_signing_keys, sound_event
from schemas.controls import Control, ControlKind
from schemas.dispatch import Dispatch
from schemas.events import Event
from schemas.positions import Position
from schemas.times import format_seconds


@dataclass(frozen=True)
class WaitingEvent:
    """An accepted event that no replica has begun to process, and the controls that keep it."""

    dispatch: Dispatch
    """Without recipients: nobody has looked for them."""
    kept_by: tuple[Control, ...]


async def find_waiting_event(
    settings: Settings, dispatch_id: str, *, at: Position | None, since: datetime
) -> WaitingEvent | None:
    """
    Return the event of a dispatch, at a position or else among those appended *since*; None if there is none.

    Raises:
        InvalidSettings, KafkaError, UnfitTopics, OSError, TimeoutError: The topics cannot be read.
    """
    keys, topics = read_signing_keys(settings), topics_of(settings)
    async with reader(settings, of=topics.events) as reading:
        with status("looking for its event"):
            async for record in _records(reading, topics, at, since):
                event, _ = sound_event(record, keys) or (None, None)
                if event is not None and event.dispatch_id == dispatch_id:
                    in_force = (await stored_controls(settings)).in_force()
                    return WaitingEvent(Dispatch.of(event, record.origin), keeping(in_force, event, record.appended_at))
    return None


async def _records(reading: Reader, topics: Topics, at: Position | None, since: datetime) -> AsyncIterator[Record]:
    if at is not None:
        record = await reading.record_at(Place(at.topic, at.partition), at.offset)
        if record is not None:
            yield record
        return
    places = [place for topic in topics.events for place in await reading.partitions(topic)]
    async for record in records_until(reading, await follow_from(reading, places, since)):
        yield record


def keeping(in_force: Iterable[Control], event: Event, appended_at: datetime) -> tuple[Control, ...]:
    """Return the controls that concern an event."""
    return tuple(
        one
        for one in in_force
        if one.kind is ControlKind.SENDING_STOPPED
        or (one.kind is ControlKind.SOURCE_HELD and one.source == event.source)
        or one.cancels(event.source, event.kind.type, appended_at)
    )


def print_why(waiting: WaitingEvent) -> None:
    """Print why an event waits, as far as its controls say."""
    print_line("waits     it is accepted, and its dispatch is not written yet")
    for one in waiting.kept_by:
        print_line(f"because   {what(one)}, by {one.by} since {format_seconds(one.at)}: {one.reason}")
        print_hint(f"undo it:  {undo(one)}")
    if not waiting.kept_by:
        print_hint("no control keeps it; is a replica running? See: pause-notifications doctor")
