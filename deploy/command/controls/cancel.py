"""`pause-notifications dispatches cancel`: end events of one source that are not sent yet."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from deploy.command.controls.change import lift, put_in_force
from deploy.command.examples import examples
from deploy.command.operator import By, one_line, source_of_events
from deploy.support.asking import ask, check_can_ask
from deploy.support.connections import admin_client, reader, topics_of
from deploy.support.output import print_json, print_text, status
from deploy.support.running import run
from deploy.support.scanning import follow_from, parse_when, records_until
from runtime.kafka.reader import Reader
from runtime.kafka.records import Place, Record
from runtime.settings import Settings
from schemas.cloudevents import NotAnEvent, decode
from schemas.controls import Control, ControlKind
from schemas.events import EVENTS_BY_NAME, EVENTS_BY_TYPE
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


def _type_of(name: str | None) -> str | None:
    """Return the type of an event by its name or its type; raise a usage error for another."""
    if name is None or name in EVENTS_BY_TYPE:
        return name
    if name not in EVENTS_BY_NAME:
        raise typer.BadParameter(f"must be one of {', '.join(EVENTS_BY_NAME)}")
    return EVENTS_BY_NAME[name].type


@examples(
    "pause-notifications dispatches cancel --source /hr/absences --since 2h --dry-run",
    'pause-notifications dispatches cancel --source /hr/absences --since 2h --reason "wrong bulk publish"',
    "pause-notifications dispatches cancel --undo 3f9a01bc",
)
def cancel(
    *,
    source: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", callback=source_of_events, help="The CloudEvents `source` of the events."),
    ] = None,
    from_when: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="Events appended since: 90m, 24h, 7d, or a time.")
    ] = None,
    event: Annotated[
        str | None, typer.Option("--type", metavar="EVENT", help="Only these, such as pause-activated; else all.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", callback=one_line, help="Why, in your words; all who look see it.")
    ] = None,
    undo: Annotated[
        str | None, typer.Option("--undo", metavar="ID", help="Lift the cancel with this id (see: controls).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be cancelled; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; required without a terminal.")] = False,
    by: By = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the count as one line of JSON.")] = False,
) -> None:
    """
    End the events of one source that are not sent yet, without a send: the wrong bulk publish of a Friday.

    It concerns events appended from --since until now. Hold a source first if it still publishes: what comes later is
    not cancelled. Recipients that are not sent to yet end as suppressed, with the reason cancelled. What is sent, or
    being sent, stays. An e-mail whose answer was lost ends as unknown, since it may have been sent.

    --undo lifts a cancel: events that it has not ended yet are sent. What it has ended stays ended; to send it after
    all, publish it again with new ids.
    """
    if undo is not None:
        _undo(undo, reason, by, others=(source, from_when, event))
        return
    if source is None or from_when is None:
        raise typer.BadParameter("are both needed, or --undo", param_hint="--source and --since")
    wanted = _wanted(source, from_when, event)
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


def _wanted(source: str, from_when: str, event: str | None) -> Control:
    now = datetime.now(UTC)
    return Control(
        kind=ControlKind.CANCEL,
        by="",
        at=now + _KEPT,
        reason="",
        id=secrets.token_hex(4),
        source=source,
        event_type=_type_of(event),
        since=parse_when(from_when),
        until=now + _KEPT,
    )


def _undo(id_: str, reason: str | None, by: str | None, *, others: tuple[str | None, ...]) -> None:
    if any(other is not None for other in others):
        raise typer.BadParameter("goes alone", param_hint="--undo")
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
