"""`pause-notifications dispatches cancel`: end events of one source that are not sent yet."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import typer

from deploy.command.controls.change import lift, put_in_force
from deploy.support.asking import ask, check_can_ask
from deploy.support.connections import admin_client, reader, topics_of
from deploy.support.output import print_hint, print_json, print_text, status
from deploy.support.running import run
from deploy.support.scanning import follow_from, records_until
from runtime.kafka.reader import Reader
from runtime.kafka.records import Place, Record
from runtime.settings import Settings
from schemas.cloudevents import NotAnEvent, decode
from schemas.controls import Control, ControlKind
from schemas.times import format_seconds

_KEPT = timedelta(days=14)
"""How long a cancel lasts: as long as event topics keep what it concerns."""
_ADMIN_SECONDS = 10


@dataclass
class Matches:
    """The events that a cancel would concern, counted once each; they are not committed, so most are not sent."""

    control: Control
    _ids: set[str] = field(default_factory=set)
    types: Counter[str] = field(default_factory=Counter)

    def add(self, record: Record) -> None:
        """Count the event of a record if the cancel concerns it."""
        try:
            event = decode(record.headers, record.value)
        except NotAnEvent:
            return
        if not self.control.cancels(event.source, event.kind.type, record.appended_at):
            return
        if event.dispatch_id not in self._ids:
            self._ids.add(event.dispatch_id)
            self.types[event.kind.name] += 1


def cancel(wanted: Control, *, reason: str | None, dry_run: bool, yes: bool, by: str | None, as_json: bool) -> None:
    """Count what a cancel would end, ask, and put it in force."""
    matches = run(lambda settings: _count(settings, wanted))
    _print(matches, as_json=as_json)
    if dry_run:
        return
    if reason is None:
        raise typer.BadParameter("is needed", param_hint="--reason")
    check_can_ask("cancel", yes=yes)
    ask("Cancel them?", done="cancelled", yes=yes)
    # Its end is now, after the question: what was published meanwhile was not counted, and is cancelled, too.
    fields = {name: getattr(wanted, name) for name in ("id", "source", "event_type", "since", "until")}
    put_in_force(ControlKind.CANCEL, reason, by, **fields)


def wanted(source: str, since: datetime, event_type: str | None) -> Control:
    """Return the cancel of the events of a source, or of one type of them, appended from *since* on."""
    now = datetime.now(UTC)
    return Control(
        kind=ControlKind.CANCEL,
        by="",
        at=now + _KEPT,
        reason="",
        id=secrets.token_hex(4),
        source=source,
        event_type=event_type,
        since=since,
        until=now + _KEPT,
    )


def undo(id_: str, reason: str | None, by: str | None) -> None:
    """Lift the cancel with an id."""
    now = datetime.now(UTC)
    lift(Control(kind=ControlKind.CANCEL, id=id_, by="", at=now, reason=""), reason or "lifted", by)


async def _count(settings: Settings, wanted: Control) -> Matches:
    """Count what a cancel would concern, from the group's offsets to the ends of the event topics."""
    matches, topics = Matches(wanted), topics_of(settings)
    committed = await _committed(settings)
    async with reader(settings, of=topics.events) as reading:
        places = [place for topic in topics.events for place in await reading.partitions(topic)]
        ends = await follow_from(reading, places, wanted.since)
        _skip_processed(reading, places, committed)
        with status("counting events"):
            async for record in records_until(reading, ends):
                matches.add(record)
    return matches


def _skip_processed(reading: Reader, places: list[Place], committed: Mapping[Place, int]) -> None:
    reading.follow({place: max(reading.position_in(place), committed.get(place, 0)) for place in places})


async def _committed(settings: Settings) -> dict[Place, int]:
    async with admin_client(settings) as admin:
        found = await admin.list_consumer_group_offsets(settings.consumer_group)
    return {Place(*partition): metadata.offset for partition, metadata in found.items()}


def _print(matches: Matches, *, as_json: bool) -> None:
    control, count = matches.control, sum(matches.types.values())
    if as_json:
        print_json({"source": control.source, "events": count, "types": dict(matches.types)})
        return
    since = "" if control.since is None else format_seconds(control.since)
    print_text(f"{count} events of {control.source} since {since} are not processed, or not committed yet")
    for name, number in matches.types.most_common():
        print_text(f"  {name}  {number}")
    if not count:
        print_hint("a cancel ends none of them: is the source written as in the events, and --since early enough?")
