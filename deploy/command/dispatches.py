"""`pause-notifications dispatches`: the result of an event."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

import msgspec
import typer
from msgspec.structs import asdict

from deploy.command.examples import examples
from deploy.support.connections import reader, topics_of
from deploy.support.output import print_json, print_line, print_table
from deploy.support.running import CommandFailed, exit_with_error, run
from deploy.support.scanning import follow_from, new_records, parse_position, parse_when, records_until
from runtime.kafka.partitioner import partition_for
from runtime.kafka.reader import Reader
from runtime.kafka.records import Place, Record
from runtime.settings import Settings
from schemas.cloudevents import NotAnEvent, decode
from schemas.dispatch import Dispatch, Status, Verdict, fold, parse_dispatch, verdict
from schemas.positions import Position
from schemas.times import format_seconds

_ID = re.compile(r"[0-9a-f]{32}")

app = typer.Typer(no_args_is_help=True, help="Show the result of an event.", rich_markup_mode=None)


@app.callback()
def _noun() -> None:
    """Show the result of an event."""


@app.command()
@examples(
    "pause-notifications dispatches show 4c6a… --at mentor.pauses.v1-3-1042 --wait 10",
    "pause-notifications dispatches show 4c6a… --since 7d --json",
)
def show(
    *,
    dispatch_id: Annotated[
        str, typer.Argument(metavar="ID", help="Dispatch-Id of a REST response, or as printed by events publish.")
    ],
    at: Annotated[
        str | None, typer.Option(metavar="TOPIC-PARTITION-OFFSET", help="Position of its event, to find it at once.")
    ] = None,
    from_when: Annotated[
        str,
        typer.Option("--since", metavar="WHEN", help="Without --at: how far back to look; 90m, 24h, 7d, or a time."),
    ] = "24h",
    wait: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Wait up to that long until it is final.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the dispatch as JSON, as it is in Kafka.")] = False,
) -> None:
    """
    Show a dispatch: each recipient with its status and reason.

    The exit code is 1 if the dispatch is not found, or is not final after --wait.
    """
    if not _ID.fullmatch(dispatch_id):
        raise typer.BadParameter("must be 32 hexadecimal digits", param_hint="ID")
    event_at = None if at is None else parse_position(at)
    start = parse_when(from_when)

    async def work(settings: Settings) -> Dispatch | None:
        topics = topics_of(settings)
        read = [topics.dispatches] if event_at is None else [topics.dispatches, *topics.events]
        async with reader(settings, of=read) as reading:
            return await _find(reading, settings, dispatch_id, event_at=event_at, start=start, wait=wait)

    found = run(work)
    if found is None:
        exit_with_error(f"no dispatch {dispatch_id} {'there' if at else f'since {from_when}'}{_advice(at)}")
    _print(found, as_json=as_json)
    if wait and not found.final:
        exit_with_error(f"not final after {wait:g} s")


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
    record = await _record_at(reading, at)
    if record is None:
        raise CommandFailed(f"there is no record at {at}, or it was deleted")
    try:
        event = decode(record.headers, record.value)
    except NotAnEvent as error:
        raise CommandFailed(f"the record at {at} is not a valid event ({error}); see: dead-letters list") from None
    if event.dispatch_id != dispatch_id:
        raise CommandFailed(f"the event at {at} belongs to another dispatch: {event.dispatch_id}")
    return event.mentor_id, record.appended_at


async def _record_at(reading: Reader, at: Position) -> Record | None:
    place, offset = Place(at.topic, at.partition), at.offset
    if place not in await reading.partitions(place.topic):
        return None
    end = (await reading.end_offsets([place]))[place]
    if not (await reading.beginning_offsets([place]))[place] <= offset < end:
        return None
    reading.follow({place: offset})
    try:
        async for record in records_until(reading, {place: offset + 1}):
            return record if record.offset == offset else None
    finally:
        reading.unfollow([place])
    return None


def _print(dispatch: Dispatch, *, as_json: bool) -> None:
    if as_json:
        print_json(every_field(dispatch))
        return
    for text in summary_lines(dispatch):
        print_line(text)
    print_recipients(dispatch)


def every_field(dispatch: Dispatch) -> dict[str, Any]:
    """Return all fields of a dispatch for scripts, also those that its record omits."""
    nested = {
        "origin": asdict(dispatch.origin),
        "request": dispatch.request and asdict(dispatch.request),
        "recipients": [asdict(recipient) for recipient in dispatch.recipients],
    }
    document: dict[str, Any] = msgspec.to_builtins({**asdict(dispatch), **nested})
    return document


def summary_lines(dispatch: Dispatch) -> list[str]:
    """Return the main facts of a dispatch, one per line."""
    origin = dispatch.origin
    lines = [
        f"dispatch  {dispatch.dispatch_id}",
        f"event     {dispatch.event_type} about {dispatch.mentor_id}",
        f"at        {origin.position}, {format_seconds(origin.appended_at)}",
        f"sent to   {outcome_text(dispatch)}",
    ]
    if dispatch.ended_at is not None:
        lines.append(f"ended     {format_seconds(dispatch.ended_at)}")
    if dispatch.retry_of is not None:
        lines.append(f"retry of  {dispatch.retry_of}")
    return lines


def outcome_text(dispatch: Dispatch) -> str:
    """Return who got an e-mail: all, some, nobody and why, or nobody yet."""
    if verdict(dispatch) is Verdict.UNKNOWN_MENTOR:
        return "nobody: the mentor is unknown"
    statuses = [recipient.status for recipient in dispatch.recipients]
    if statuses and set(statuses) == {Status.SENT}:
        return "all"
    others = ", ".join(sorted({status.value for status in statuses if status is not Status.SENT}))
    sent = f"{statuses.count(Status.SENT)} of {len(statuses)}" if Status.SENT in statuses else "nobody"
    return f"{sent}{'' if dispatch.final else ' yet'}{f' (the rest: {others})' if others else ''}"


def print_recipients(dispatch: Dispatch) -> None:
    """Print the recipients of a dispatch, if it has any."""
    if dispatch.recipients:
        print_table(
            ("recipient", "role", "status", "reason", "message id", "when", "sends"),
            [
                (
                    recipient.contact_id,
                    recipient.role.value,
                    recipient.status.value,
                    ": ".join(filter(None, (recipient.reason, recipient.field))),
                    recipient.message_id or "",
                    format_seconds(recipient.at) if recipient.at else "",
                    str(recipient.send),
                )
                for recipient in dispatch.recipients
            ],
        )
