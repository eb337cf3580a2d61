"""
Decide which dead letters are replayed, in which order, and as what record, without I/O.

A replay carries the dispatch as it was when the replay was made. The owner of the dispatch reopens only what has not
been tried since then (`consumers.delivery.decisions.reopen`), so publishing a replay twice is harmless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from consumers.delivery.decisions import reopen
from consumers.delivery.escalation import repeatable_notice
from deploy.command.dead_letters.candidates import Candidate, Skip
from deploy.command.dead_letters.current_dispatches import CurrentDispatches
from deploy.command.dead_letters.selection import StoredLetter
from schemas import headers as names
from schemas.dead_letters import DeadLetterReason
from schemas.dispatch import Dispatch, Origin, Status, dispatch_json
from schemas.events import Role
from schemas.headers import Headers
from schemas.times import format_instant

_REPLACED = frozenset({names.REPLAY, names.APPENDED_AT, names.WAITS_MS, names.SIGNATURE})
"""Headers of the original that a replay replaces or drops; no caller waits for a replay."""


@dataclass(frozen=True)
class Policy:
    """What the operator allows to be replayed."""

    now: datetime
    max_rounds: int
    include_answered: bool = False
    limit: int | None = None


@dataclass(frozen=True)
class Replay:
    """A dead letter to be replayed, and its dispatch as it is now."""

    candidate: Candidate
    dispatch: Dispatch | None
    """None for an event that was never processed: no key proved its source then, and one does now."""

    @property
    def may_be_twice(self) -> bool:
        """Whether a recipient may have the e-mail already, because an answer of SES was lost."""
        recipients = () if self.dispatch is None else self.dispatch.recipients
        return any(recipient.status is Status.UNKNOWN for recipient in recipients)

    @property
    def origin(self) -> Origin:
        """Where the event is."""
        return self.candidate.stored.letter.origin if self.dispatch is None else self.dispatch.origin

    @property
    def appended_at(self) -> datetime:
        """The append time from which expiry counts."""
        return self.candidate.appended_at or self.origin.appended_at


@dataclass
class Plan:
    """What happens to each selected dead letter."""

    replays: list[Replay] = field(default_factory=list)
    skipped: list[tuple[StoredLetter, Skip]] = field(default_factory=list)


def make_plan(candidates: Sequence[Candidate], current: CurrentDispatches, policy: Policy) -> Plan:
    """
    Decide for all candidates; replay each dispatch once, in the order of the original log.

    An escalation is not replayed together with the notice that it is about: it says that the mentor was not reached.
    """
    plan = Plan()
    last = {one.event.dispatch_id: one for one in sorted(candidates, key=lambda one: one.stored.record.offset)}
    for one in candidates:
        decision = _decide(one, current, policy) if last[one.event.dispatch_id] is one else Skip.SAME_DISPATCH
        if isinstance(decision, Replay):
            plan.replays.append(decision)
        else:
            plan.skipped.append((one.stored, decision))
    retried = {one.candidate.event.dispatch_id for one in plan.replays}
    decided, plan.replays = plan.replays, []
    for replay in decided:
        if repeatable_notice(replay.candidate.event) in retried:
            plan.skipped.append((replay.candidate.stored, Skip.MENTOR_TRIED))
        else:
            plan.replays.append(replay)
    plan.replays.sort(key=lambda one: (one.origin.topic, one.origin.partition, one.origin.offset))
    if policy.limit is not None:
        plan.skipped += [(one.candidate.stored, Skip.LIMIT) for one in plan.replays[policy.limit :]]
        del plan.replays[policy.limit :]
    return plan


def _decide(candidate: Candidate, current: CurrentDispatches, policy: Policy) -> Replay | Skip:
    dispatch = current.of(candidate)
    replay = Replay(candidate, dispatch)
    if dispatch is None:
        never_processed = candidate.stored.letter.reason is DeadLetterReason.UNPROVEN_SOURCE
        return (_too_late(replay, policy) or replay) if never_processed else Skip.FORGOTTEN
    changed = _changed_since(candidate, dispatch, current) or _mentor_told(candidate, current)
    return changed or _not_allowed(replay, dispatch, policy) or replay


def _mentor_told(candidate: Candidate, current: CurrentDispatches) -> Skip | None:
    """Skip an escalation whose mentor has got the notice since."""
    dispatch = current.dispatches.get(repeatable_notice(candidate.event) or "")
    recipients = () if dispatch is None else dispatch.recipients
    told = any(one.role is Role.MENTOR and one.status is Status.SENT for one in recipients)
    return Skip.MENTOR_TOLD if told else None


def _changed_since(candidate: Candidate, dispatch: Dispatch, current: CurrentDispatches) -> Skip | None:
    if dispatch.digest != candidate.event.digest:
        return Skip.CONFLICTING_DUPLICATE
    if not dispatch.final:
        return Skip.UNDER_WAY
    if reopen(dispatch, replay=True) is None:
        all_sent = all(recipient.status is Status.SENT for recipient in dispatch.recipients)
        return Skip.SENT if all_sent else Skip.NOTHING_TO_MEND
    return Skip.QUEUED if current.has_waiting_replay(dispatch) else None


def _too_late(replay: Replay, policy: Policy) -> Skip | None:
    true_until = replay.candidate.event.true_until(replay.appended_at)
    return Skip.TOO_LATE if true_until is not None and policy.now > true_until else None


def _not_allowed(replay: Replay, dispatch: Dispatch, policy: Policy) -> Skip | None:
    if late := _too_late(replay, policy):
        return late
    if dispatch.request is not None and not policy.include_answered:
        return Skip.ANSWERED
    failed = [one for one in dispatch.recipients if one.status in {Status.FAILED, Status.UNKNOWN}]
    return Skip.MAX_ROUNDS if any(one.round >= policy.max_rounds for one in failed) else None


def replay_headers(replay: Replay) -> Headers:
    """Return the headers of a replay: the original's, its first append time, and the dispatch as it is now."""
    dispatch = [] if replay.dispatch is None else [(names.REPLAY, dispatch_json(replay.dispatch))]
    return [
        *((name, value) for name, value in replay.candidate.headers if name not in _REPLACED),
        (names.APPENDED_AT, format_instant(replay.appended_at).encode()),
        *dispatch,
    ]
