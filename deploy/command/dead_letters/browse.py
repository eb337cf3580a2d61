"""`pause-notifications dead-letters`: what was set aside for a person, and sending it again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from deploy.command.dead_letters.replay import replay
from deploy.command.dead_letters.selection import (
    AGES,
    Found,
    Mentor,
    Reasons,
    Selection,
    Since,
    Source,
    Until,
    instant,
    is_which,
    letters,
)
from deploy.command.dispatches import recipient_table, summary
from deploy.command.examples import examples
from deploy.support.connections import reader, topics_of
from deploy.support.output import age, hint, json_line, line, say, shown, table
from deploy.support.running import refuse, run
from runtime.settings import Settings, env_name
from runtime.signing_keys import read_signing_keys
from schemas.signatures import Proof
from schemas.times import format_seconds

_MENTORS_SHOWN = 10
_SAYS = {
    Proof.PROVEN: "proven: a replica wrote this letter",
    Proof.NO_KEYS: f"not checked: set {env_name('signing_keys_file')}",
    Proof.MISSING: "none: anybody may have written this letter",
    Proof.UNKNOWN_KEY: "by a key that is not known here: anybody may have written this letter",
}

app = typer.Typer(
    no_args_is_help=True, help="See what was set aside for a person, and send it again.", rich_markup_mode=None
)


@app.callback()
def _noun() -> None:
    """See what was set aside for a person, and send it again."""


@dataclass
class Counts:
    """How many dead letters there are, by what a person asks first."""

    now: datetime
    reasons: Counter[str] = field(default_factory=Counter)
    ages: Counter[str] = field(default_factory=Counter)
    mentors: Counter[str] = field(default_factory=Counter)

    def add(self, found: Found) -> None:
        """Count one."""
        self.reasons[found.letter.reason.value] += 1
        self.ages[found.age(self.now)] += 1
        self.mentors[found.key] += 1

    def as_json(self) -> dict[str, Any]:
        """Return all counts, for scripts."""
        return {
            "count": self.reasons.total(),
            "reasons": dict(self.reasons.most_common()),
            "ages": {name: self.ages[name] for name in AGES},
            "mentors": dict(self.mentors.most_common()),
        }


@app.command("list")
@examples(
    "pause-notifications dead-letters list --since 24h",
    "pause-notifications dead-letters list --reason failed --letters --json",
)
def list_letters(
    *,
    reason: Reasons = None,
    source: Source = None,
    mentor: Mentor = None,
    from_when: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest to show; all are counted.")] = 20,
    one_by_one: Annotated[bool, typer.Option("--letters", help="The letters alone, all of them, not counted.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The counts as one line of JSON; with --letters, a line for each letter.")
    ] = False,
) -> None:
    """Count dead letters by reason, by age and by mentor, and show the newest."""
    asked = Selection(frozenset(reason or ()), frozenset(), source, mentor, instant(from_when), instant(until))
    counts = Counts(datetime.now(UTC))
    newest: deque[Found] = deque(maxlen=None if one_by_one else limit)

    async def work(settings: Settings) -> None:
        async with reader(settings, of=[topics_of(settings).dead_letters]) as reading:
            async for found in letters(reading, settings, asked):
                if one_by_one and as_json:
                    json_line(found.as_json())
                    continue
                counts.add(found)
                newest.append(found)

    run(work)
    if not as_json:
        _print_list(counts, sorted(newest, key=lambda found: found.record.appended_at), counted=not one_by_one)
    elif not one_by_one:
        json_line(counts.as_json())


def _print_list(counts: Counts, shown: Sequence[Found], *, counted: bool) -> None:
    if not shown:
        say("no dead letters")
        return
    if counted:
        _print_counts(counts)
    table(
        ("dead letter", "reason", "origin", "mentor", "age"),
        [(f.at, f.letter.reason.value, f.span, f.key, age(f.record.appended_at, counts.now)) for f in shown],
    )
    if (total := counts.reasons.total()) > len(shown):
        hint(f"the newest {len(shown)} of {total}; more with --limit, all with --letters")
    hint("all of one:      pause-notifications dead-letters show TOPIC-PARTITION-OFFSET")
    hint("send them again: pause-notifications dead-letters replay --dry-run")


def _print_counts(counts: Counts) -> None:
    ages = [(name, counts.ages[name]) for name in AGES if counts.ages[name]]
    mentors = counts.mentors.most_common(_MENTORS_SHOWN)
    for what, counted in (("reason", counts.reasons.most_common()), ("age", ages), ("mentor", mentors)):
        table(("count", what), [(str(count), name) for name, count in counted])
        if what == "mentor" and len(counts.mentors) > len(mentors):
            hint(f"and {len(counts.mentors) - len(mentors)} more; all with --json")
        say()


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

    Characters that would steer the terminal are shown by their numbers, and what is no UTF-8 by hexadecimal digits.

    A dispatch id shows all that belong to it; a place may be the letter's own or its origin's.
    """
    asked = Selection(which=frozenset({is_which(which)}))

    async def work(settings: Settings) -> list[tuple[Found, Proof]]:
        keys = read_signing_keys(settings)
        async with reader(settings, of=[topics_of(settings).dead_letters]) as reading:
            return [(found, found.proof(keys)) async for found in letters(reading, settings, asked)]

    chosen = run(work)
    if not chosen:
        refuse(f"there is no dead letter {which} (they are kept for 30 days)")
    for found, proof in chosen:
        _print_letter(found, proof)


def _print_letter(found: Found, proof: Proof) -> None:
    letter = found.letter
    line(f"dead letter  {found.at}, {format_seconds(found.record.appended_at)}")
    line(f"reason       {letter.reason.value}{f': {letter.detail}' if letter.detail else ''}")
    line(f"origin       {found.origin}, {format_seconds(letter.origin.appended_at)}")
    if letter.last_offset is not None:
        line(f"records      {letter.records}, at offsets {letter.origin.offset} to {letter.last_offset}")
        say("             Only the first is kept here. The others lie at their offsets while their topic keeps them.")
    line(f"signature    {_SAYS.get(proof, proof.value)}")
    line(f"key          {found.key or '(none)'}")
    for name, value in letter.headers:
        line(f"header       {name}: {shown(value)}")
    line(f"value        {shown(letter.value)}")
    if letter.dispatch is not None:
        for about in summary(letter.dispatch):
            line(f"  {about}")
        recipient_table(letter.dispatch)
    say()


app.command()(replay)
