"""Print the result of a replay, for a person or for a script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from deploy.command.dead_letters.plan import Plan
from deploy.command.dead_letters.selection import StoredLetter
from deploy.support.output import print_hint, print_json, print_table, print_text
from runtime.kafka.publisher import Published


@dataclass
class Outcome:
    """What was planned, and which replays Kafka has acknowledged."""

    plan: Plan
    published: dict[str, Published] = field(default_factory=dict)
    """By the position of the dead letter."""


def count_lines(plan: Plan) -> list[str]:
    """Return how many are replayed, and a line for each reason to skip."""
    lines = [f"{len(plan.replays):>6}  to replay{_duplicates(plan)}"]
    skipped = Counter(skip for _, skip in plan.skipped)
    return [
        *lines,
        *(f"{count:>6}  skipped, {skip.value}: {skip.explanation}" for skip, count in skipped.most_common()),
    ]


def _duplicates(plan: Plan) -> str:
    count = sum(replay.may_be_twice for replay in plan.replays)
    return f" ({count} of them may send a second e-mail: SES may have sent the first)" if count else ""


def print_outcome(outcome: Outcome, *, dry_run: bool, as_json: bool) -> None:
    """Print what happened to each dead letter, or would happen."""
    plan = outcome.plan
    if as_json:
        print_json(summary(outcome, dry_run=dry_run))
        return
    if not (plan.replays or plan.skipped):
        print_text("no dead letters")
        return
    if dry_run:
        print_table(("dead letter", "dispatch", "mentor", "reason", "outcome"), _rows(plan))
        print_text()
    for line in count_lines(plan):
        print_text(line)
    if not dry_run:
        print_text(f"{len(outcome.published):>6}  replayed")
        print_hint("result of one: pause-notifications dispatches show DISPATCH_ID --since 7d")


def _rows(plan: Plan) -> Iterator[tuple[str, ...]]:
    for stored, outcome in [
        *((replay.candidate.stored, "to replay") for replay in plan.replays),
        *((stored, f"skipped, {skip.value}") for stored, skip in plan.skipped),
    ]:
        yield stored.at, stored.dispatch_id or "", stored.key, stored.letter.reason.value, outcome


def summary(outcome: Outcome, *, dry_run: bool) -> dict[str, Any]:
    """Return all that was decided and done, for scripts."""
    plan = outcome.plan
    return {
        "dry_run": dry_run,
        "selected": len(plan.replays) + len(plan.skipped),
        "to_replay": len(plan.replays),
        "replayed": len(outcome.published),
        "may_be_twice": sum(replay.may_be_twice for replay in plan.replays),
        "skipped": dict(Counter(skip.value for _, skip in plan.skipped).most_common()),
        "letters": [
            *(
                _letter(one.candidate.stored, replayed_to=_position(outcome.published.get(one.candidate.stored.at)))
                for one in plan.replays
            ),
            *(_letter(stored, skipped=skip.value) for stored, skip in plan.skipped),
        ],
    }


def _letter(stored: StoredLetter, **more: str | None) -> dict[str, Any]:
    return {
        "at": stored.at,
        "dispatch_id": stored.dispatch_id,
        "key": stored.key,
        "reason": stored.letter.reason.value,
        **more,
    }


def _position(published: Published | None) -> str | None:
    return None if published is None else str(published.position)
