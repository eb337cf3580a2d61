"""`pause-notifications dead-letters`: what was set aside for a person."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from deploy.command.connections import reader, topics_of
from deploy.command.dispatches import recipient_table, summary
from deploy.command.examples import examples
from deploy.command.output import age, hint, json_line, say, table
from deploy.command.running import refuse, run
from deploy.command.scanning import follow_from, place_and_offset, since, to_end
from runtime.kafka.records import Record
from runtime.settings import Settings
from schemas.codec import NotAnEvent, NotAnEventReason, decode
from schemas.dead_letters import DeadLetter, DeadLetterReason, from_record
from schemas.times import format_instant, format_seconds

_ID = re.compile(r"[0-9a-f]{32}")
_REASONS = tuple(reason.value for kind in (DeadLetterReason, NotAnEventReason) for reason in kind)

app = typer.Typer(no_args_is_help=True, help="See what was set aside for a person.", rich_markup_mode=None)


@app.callback()
def _noun() -> None:
    """See what was set aside for a person."""


@dataclass(frozen=True)
class Found:
    """A dead letter and where it lies."""

    record: Record
    letter: DeadLetter

    @property
    def at(self) -> str:
        """Its own place: topic-partition-offset."""
        return f"{self.record.topic}-{self.record.partition}-{self.record.offset}"

    @property
    def origin(self) -> str:
        """The place of the record that was set aside."""
        return f"{self.letter.origin.topic}-{self.letter.origin.partition}-{self.letter.origin.offset}"

    @property
    def key(self) -> str:
        """The record's key as text: a mentor's id, where the producer kept to the contract."""
        return (self.letter.key or b"").decode(errors="replace")

    @property
    def dispatch_id(self) -> str | None:
        """The dispatch it belongs to, where its record is an event at all."""
        if self.letter.dispatch is not None:
            return self.letter.dispatch.dispatch_id
        try:
            return decode(self.letter.headers, self.letter.value).dispatch_id
        except NotAnEvent:
            return None

    def as_json(self) -> dict[str, Any]:
        """Give what `list` shows, for scripts."""
        return {
            "at": self.at,
            "reason": self.letter.reason.value,
            "detail": self.letter.detail,
            "origin": self.origin,
            "origin_appended_at": format_instant(self.letter.origin.appended_at),
            "set_aside_at": format_instant(self.record.appended_at),
            "key": self.key,
            "dispatch_id": self.dispatch_id,
        }


def _reason(text: str | None) -> str | None:
    if text is not None and text not in _REASONS:
        raise typer.BadParameter("must be one of " + ", ".join(_REASONS))
    return text


@app.command("list")
@examples(
    "pause-notifications dead-letters list --since 24h",
    "pause-notifications dead-letters list --reason failed --json",
)
def list_letters(
    *,
    reason: Annotated[str | None, typer.Option(callback=_reason, help="Only those set aside for this reason.")] = None,
    from_when: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="Only those of 90m, 24h, 7d, or since a time.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest to show; all are counted.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="All of them, a line of JSON each.")] = False,
) -> None:
    """Count dead letters by reason, and show the newest."""
    start = None if from_when is None else since(from_when)
    newest: deque[Found] = deque(maxlen=limit)
    counts: Counter[str] = Counter()

    async def work(settings: Settings) -> None:
        async for found in _letters(settings, start):
            if reason is not None and found.letter.reason.value != reason:
                continue
            counts[found.letter.reason.value] += 1
            if as_json:
                json_line(found.as_json())
            else:
                newest.append(found)

    run(work)
    if not as_json:
        _print_list(counts, sorted(newest, key=lambda found: found.record.appended_at))


def _print_list(counts: Counter[str], letters: list[Found]) -> None:
    if not letters:
        say("no dead letters")
        return
    table(("count", "reason"), [(str(count), reason) for reason, count in counts.most_common()])
    say()
    now = datetime.now(UTC)
    table(
        ("dead letter", "reason", "origin", "mentor", "age"),
        [(f.at, f.letter.reason.value, f.origin, f.key, age(f.record.appended_at, now)) for f in letters],
    )
    if (total := counts.total()) > len(letters):
        hint(f"the newest {len(letters)} of {total}; more with --limit")
    hint("all of one: pause-notifications dead-letters show TOPIC-PARTITION-OFFSET")


@app.command()
@examples(
    "pause-notifications dead-letters show pause-notifications.dead-letters.v1-3-17",
    "pause-notifications dead-letters show 4c6a3bf0e1d2c3b4a5968778695a4b3c",
)
def show(
    which: Annotated[str, typer.Argument(metavar="TOPIC-PARTITION-OFFSET|DISPATCH_ID", help="From dead-letters list.")],
) -> None:
    """
    Show dead letters whole: reason, origin, headers, value, and the dispatch as it stood.

    A dispatch id shows all that belong to it; a place may be the letter's own or its origin's.
    """
    if not _ID.fullmatch(which):
        place_and_offset(which)

    async def work(settings: Settings) -> list[Found]:
        return [
            found async for found in _letters(settings, None) if which in {found.at, found.origin, found.dispatch_id}
        ]

    letters = run(work)
    if not letters:
        refuse(f"there is no dead letter {which} (they are kept for 30 days)")
    for letter in letters:
        _print_letter(letter)


async def _letters(settings: Settings, start: datetime | None) -> AsyncIterator[Found]:
    async with reader(settings) as reading:
        places = await reading.partitions(topics_of(settings).dead_letters)
        ends = await follow_from(reading, places, start)
        async for record in to_end(reading, ends):
            letter = from_record(record.key, record.value, record.headers)
            if letter is not None:
                yield Found(record, letter)


def _print_letter(found: Found) -> None:
    letter = found.letter
    say(f"dead letter  {found.at}, {format_seconds(found.record.appended_at)}")
    say(f"reason       {letter.reason.value}{f': {letter.detail}' if letter.detail else ''}")
    say(f"origin       {found.origin}, {format_seconds(letter.origin.appended_at)}")
    say(f"key          {found.key or '(none)'}")
    for name, value in letter.headers:
        say(f"header       {name}: {(value or b'').decode(errors='replace')}")
    say(f"value        {'(null)' if letter.value is None else letter.value.decode(errors='replace')}")
    if letter.dispatch is not None:
        for line in summary(letter.dispatch):
            say(f"  {line}")
        recipient_table(letter.dispatch)
    say()
