"""`pause-notifications dead-letters`: list, show and replay dead letters."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from deploy.command.dead_letters.selection import (
    AGES,
    Selection,
    StoredLetter,
    selected_letters,
    selection_of,
)
from deploy.command.dispatch_output import print_recipients, summary_lines
from deploy.support.connections import reader, topics_of
from deploy.support.output import age, print_hint, print_json, print_line, print_table, print_text, readable
from deploy.support.running import exit_with_error, run
from runtime.settings import Settings, env_name
from runtime.signing_keys import read_signing_keys
from schemas.signatures import Proof
from schemas.times import format_seconds

_MENTORS_SHOWN = 10
_PROOF_TEXTS = {
    Proof.PROVEN: "valid: a replica wrote this letter",
    Proof.NO_KEYS: f"not checked: set {env_name('signing_keys_file')}",
    Proof.MISSING: "missing: anybody may have written this letter",
    Proof.UNKNOWN_KEY: "made with a key that is not known here: anybody may have written this letter",
}


@dataclass
class Counts:
    """Dead letters counted by reason, age and mentor."""

    now: datetime
    reasons: Counter[str] = field(default_factory=Counter)
    ages: Counter[str] = field(default_factory=Counter)
    mentors: Counter[str] = field(default_factory=Counter)

    def add(self, stored: StoredLetter) -> None:
        """Count one dead letter."""
        self.reasons[stored.letter.reason.value] += 1
        self.ages[stored.age(self.now)] += 1
        self.mentors[stored.mentor] += 1

    def as_json(self) -> dict[str, Any]:
        """Return all counts, for scripts."""
        return {
            "count": self.reasons.total(),
            "reasons": dict(self.reasons.most_common()),
            "ages": {name: self.ages[name] for name in AGES},
            "mentors": dict(self.mentors.most_common()),
        }


def list_letters(
    *,
    reason: list[str] | None,
    source: str | None,
    mentor: str | None,
    from_when: str | None,
    until: str | None,
    limit: int,
    one_by_one: bool,
    as_json: bool,
) -> None:
    """Count dead letters by reason, age and mentor, and show the newest."""
    asked = selection_of(reason, source, mentor, from_when, until)
    counts = Counts(datetime.now(UTC))
    newest: deque[StoredLetter] = deque(maxlen=None if one_by_one else limit)

    async def work(settings: Settings) -> None:
        async with reader(settings, of=[topics_of(settings).dead_letters]) as reading:
            async for stored in selected_letters(reading, settings, asked):
                if one_by_one and as_json:
                    print_json(stored.as_json())
                    continue
                counts.add(stored)
                newest.append(stored)

    run(work)
    if not as_json:
        _print_list(counts, sorted(newest, key=lambda stored: stored.record.appended_at), counted=not one_by_one)
    elif not one_by_one:
        print_json(counts.as_json())


def _print_list(counts: Counts, shown: Sequence[StoredLetter], *, counted: bool) -> None:
    if not shown:
        print_text("no dead letters")
        return
    if counted:
        _print_counts(counts)
    print_table(
        ("dead letter", "reason", "origin", "mentor", "age"),
        [(f.at, f.letter.reason.value, f.origins, f.mentor, age(f.record.appended_at, counts.now)) for f in shown],
    )
    if (total := counts.reasons.total()) > len(shown):
        print_hint(f"the newest {len(shown)} of {total}; more with --limit, all with --letters")
    print_hint("show one:   pause-notifications dead-letters show TOPIC-PARTITION-OFFSET")
    print_hint("replay all: pause-notifications dead-letters replay --dry-run")


def _print_counts(counts: Counts) -> None:
    ages = [(name, counts.ages[name]) for name in AGES if counts.ages[name]]
    mentors = counts.mentors.most_common(_MENTORS_SHOWN)
    for what, counted in (("reason", counts.reasons.most_common()), ("age", ages), ("mentor", mentors)):
        print_table(("count", what), [(str(count), name) for name, count in counted])
        if what == "mentor" and len(counts.mentors) > len(mentors):
            print_hint(f"and {len(counts.mentors) - len(mentors)} more; all with --json")
        print_text()


def show(which: str) -> None:
    """Show dead letters in full: reason, origin, headers, value, and the dispatch at that time."""
    asked = Selection(ids=frozenset({which}))

    async def work(settings: Settings) -> list[tuple[StoredLetter, Proof]]:
        keys = read_signing_keys(settings)
        async with reader(settings, of=[topics_of(settings).dead_letters]) as reading:
            return [(stored, stored.proof(keys)) async for stored in selected_letters(reading, settings, asked)]

    chosen = run(work)
    if not chosen:
        exit_with_error(f"there is no dead letter {which} (they are kept for 30 days)")
    for stored, proof in chosen:
        _print_letter(stored, proof)


def _print_letter(stored: StoredLetter, proof: Proof) -> None:
    letter = stored.letter
    print_line(f"dead letter  {stored.at}, {format_seconds(stored.record.appended_at)}")
    print_line(f"reason       {letter.reason.value}{f': {letter.detail}' if letter.detail else ''}")
    print_line(f"origin       {stored.origin}, {format_seconds(letter.origin.appended_at)}")
    if letter.last_offset is not None:
        print_line(f"records      {letter.records}, at offsets {letter.origin.offset} to {letter.last_offset}")
    if letter.records > 1:
        print_text(
            "             This letter holds only the first. The others are at their offsets until Kafka deletes them."
        )
    print_line(f"signature    {_PROOF_TEXTS.get(proof, proof.value)}")
    print_line(f"key          {stored.key or '(none)'}")
    for name, value in letter.headers:
        print_line(f"header       {name}: {readable(value)}")
    print_line(f"value        {readable(letter.value)}")
    if letter.dispatch is not None:
        for text in summary_lines(letter.dispatch):
            print_line(f"  {text}")
        print_recipients(letter.dispatch)
    print_text()
