"""What a person and a script are told of a replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from deploy.command.dead_letters.plan import Plan
from deploy.command.dead_letters.selection import Found
from deploy.support.output import hint, json_line, say, table
from runtime.kafka.publisher import Published


@dataclass
class Outcome:
    """What was planned, and which replays are acknowledged by now."""

    planned: Plan
    published: dict[str, Published] = field(default_factory=dict)
    """By the dead letter's own place."""


def counts(planned: Plan) -> list[str]:
    """Sum a plan up, a line for each rule."""
    lines = [f"{len(planned.replays):>6}  to replay{_twice(planned)}"]
    skipped = Counter(skip for _, skip in planned.skipped)
    return [*lines, *(f"{count:>6}  skipped, {skip.value}: {skip.says}" for skip, count in skipped.most_common())]


def _twice(planned: Plan) -> str:
    doubtful = sum(replay.may_be_twice for replay in planned.replays)
    return f" ({doubtful} of them may reach somebody twice: SES may have sent them)" if doubtful else ""


def tell_outcome(outcome: Outcome, *, dry_run: bool, as_json: bool) -> None:
    """Say what became of each dead letter, or would."""
    planned = outcome.planned
    if as_json:
        json_line(summary(outcome, dry_run=dry_run))
        return
    if not (planned.replays or planned.skipped):
        say("no dead letters")
        return
    if dry_run:
        table(("dead letter", "dispatch", "mentor", "reason", "outcome"), _rows(planned))
        say()
    for line in counts(planned):
        say(line)
    if not dry_run:
        say(f"{len(outcome.published):>6}  replayed")
        hint("what became of one: pause-notifications dispatches show DISPATCH_ID --since 7d")


def _rows(planned: Plan) -> Iterator[tuple[str, ...]]:
    for found, outcome in [
        *((replay.candidate.found, "to replay") for replay in planned.replays),
        *((found, f"skipped, {skip.value}") for found, skip in planned.skipped),
    ]:
        yield found.at, found.dispatch_id or "", found.key, found.letter.reason.value, outcome


def summary(outcome: Outcome, *, dry_run: bool) -> dict[str, Any]:
    """Return all that was decided and done, for scripts."""
    planned = outcome.planned
    return {
        "dry_run": dry_run,
        "selected": len(planned.replays) + len(planned.skipped),
        "to_replay": len(planned.replays),
        "replayed": len(outcome.published),
        "may_be_twice": sum(replay.may_be_twice for replay in planned.replays),
        "skipped": dict(Counter(skip.value for _, skip in planned.skipped).most_common()),
        "letters": [
            *(
                _letter(one.candidate.found, replayed_to=_place(outcome.published.get(one.candidate.found.at)))
                for one in planned.replays
            ),
            *(_letter(found, skipped=skip.value) for found, skip in planned.skipped),
        ],
    }


def _letter(found: Found, **more: str | None) -> dict[str, Any]:
    return {
        "at": found.at,
        "dispatch_id": found.dispatch_id,
        "key": found.key,
        "reason": found.letter.reason.value,
        **more,
    }


def _place(published: Published | None) -> str | None:
    return None if published is None else str(published.position)
