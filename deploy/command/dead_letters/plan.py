"""
Which dead letters are replayed, in which order, and as what record: pure decisions, without I/O.

A replay carries the dispatch as it was when the replay was made. The owner of the dispatch reopens only what has not
been tried since then (`consumers.delivery.decisions.reopen`), so publishing a replay twice is harmless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from consumers.delivery.decisions import reopen
from deploy.command.dead_letters.candidates import Candidate, Skip
from deploy.command.dead_letters.current_dispatches import Standings
from deploy.command.dead_letters.selection import Found
from schemas import headers as names
from schemas.dead_letters import DeadLetterReason
from schemas.dispatch import Dispatch, Origin, Status, dispatch_json
from schemas.headers import Headers
from schemas.times import format_instant

_NOT_KEPT = frozenset({names.REPLAY, names.APPENDED_AT, names.WAITS_MS, names.SIGNATURE})
"""Headers of the original that a replay has anew, or not at all: nobody waits for it as its caller did."""


@dataclass(frozen=True)
class Policy:
    """By what a person wants dead letters to be replayed."""

    now: datetime
    max_rounds: int
    include_answered: bool = False
    limit: int | None = None


@dataclass(frozen=True)
class Replay:
    """A dead letter to be replayed, and its dispatch as it now stands."""

    candidate: Candidate
    dispatch: Dispatch | None
    """None for an event that was never processed: no key proved it then, and one does now."""

    @property
    def may_be_twice(self) -> bool:
        """Return whether somebody may have had the mail already: an answer of SES was lost."""
        recipients = () if self.dispatch is None else self.dispatch.recipients
        return any(recipient.status is Status.UNKNOWN for recipient in recipients)

    @property
    def origin(self) -> Origin:
        """Return where the event lies."""
        return self.candidate.found.letter.origin if self.dispatch is None else self.dispatch.origin

    @property
    def appended_at(self) -> datetime:
        """Return the append time from which expiry counts."""
        return self.candidate.appended_at or self.origin.appended_at


@dataclass
class Plan:
    """What is to become of each dead letter asked for."""

    replays: list[Replay] = field(default_factory=list)
    skipped: list[tuple[Found, Skip]] = field(default_factory=list)


def judge(candidate: Candidate, standings: Standings, policy: Policy) -> Replay | Skip:
    """Return whether a dead letter is to be replayed, by where its dispatch stands now."""
    dispatch = standings.of(candidate)
    replay = Replay(candidate, dispatch)
    if dispatch is None:
        never_processed = candidate.found.letter.reason is DeadLetterReason.UNPROVEN_SOURCE
        return (_too_late(replay, policy) or replay) if never_processed else Skip.FORGOTTEN
    return _moved_on(candidate, dispatch, standings) or _held_back(replay, dispatch, policy) or replay


def _moved_on(candidate: Candidate, dispatch: Dispatch, standings: Standings) -> Skip | None:
    if dispatch.digest != candidate.event.digest:
        return Skip.CONFLICTING_DUPLICATE
    if not dispatch.final:
        return Skip.UNDER_WAY
    if reopen(dispatch, replay=True) is None:
        all_sent = all(recipient.status is Status.SENT for recipient in dispatch.recipients)
        return Skip.SENT if all_sent else Skip.NOTHING_TO_MEND
    return Skip.QUEUED if standings.awaits_replay(dispatch) else None


def _too_late(replay: Replay, policy: Policy) -> Skip | None:
    true_until = replay.candidate.event.true_until(replay.appended_at)
    return Skip.TOO_LATE if true_until is not None and policy.now > true_until else None


def _held_back(replay: Replay, dispatch: Dispatch, policy: Policy) -> Skip | None:
    if late := _too_late(replay, policy):
        return late
    if dispatch.request is not None and not policy.include_answered:
        return Skip.ANSWERED
    to_mend = [r for r in dispatch.recipients if r.status in {Status.FAILED, Status.UNKNOWN}]
    return Skip.MAX_ROUNDS if any(r.round >= policy.max_rounds for r in to_mend) else None


def plan(candidates: Sequence[Candidate], standings: Standings, policy: Policy) -> Plan:
    """Decide on all, a dispatch once; what is replayed stands in the order of the original log."""
    made = Plan()
    last = {one.event.dispatch_id: one for one in sorted(candidates, key=lambda one: one.found.record.offset)}
    for one in candidates:
        judged = judge(one, standings, policy) if last[one.event.dispatch_id] is one else Skip.SAME_DISPATCH
        if isinstance(judged, Replay):
            made.replays.append(judged)
        else:
            made.skipped.append((one.found, judged))
    made.replays.sort(key=_in_the_log)
    if policy.limit is not None:
        made.skipped += [(one.candidate.found, Skip.LIMIT) for one in made.replays[policy.limit :]]
        del made.replays[policy.limit :]
    return made


def _in_the_log(replay: Replay) -> tuple[str, int, int]:
    origin = replay.origin
    return origin.topic, origin.partition, origin.offset


def replay_headers(replay: Replay) -> Headers:
    """Return the headers of a replay: the original's, its first append time, and the dispatch as it now stands."""
    stands = [] if replay.dispatch is None else [(names.REPLAY, dispatch_json(replay.dispatch))]
    return [
        *((name, value) for name, value in replay.candidate.headers if name not in _NOT_KEPT),
        (names.APPENDED_AT, format_instant(replay.appended_at).encode()),
        *stands,
    ]
