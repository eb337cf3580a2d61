"""Planted bugs that the simulation must find: each is a mistake that somebody may make one day."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch
from weakref import WeakKeyDictionary

from msgspec import structs

import consumers.delivery.decisions
import consumers.delivery.dispatch_store
import consumers.ledger.entry
from consumers.admission.gate import Permit
from consumers.assignment.assignment import Assignment
from consumers.assignment.assignments import Assignments
from consumers.assignment.committer import Committer
from consumers.assignment.lanes import Lanes
from consumers.assignment.start_offsets import StartOffset
from consumers.delivery.attempt import Attempt
from consumers.delivery.dead_letters import DeadLetters
from consumers.delivery.retry_delay import RetryDelay
from consumers.ledger.ledgers import Ledgers
from runtime.kafka.records import Place, Record
from schemas.dispatch import Dispatch
from tests.simulation import control_mutations, feedback_mutations, slow_mutations


@contextmanager
def _patched(*replaced: tuple[Any, str, Any]) -> Iterator[None]:
    with ExitStack() as undo:
        for owner, name, variant in replaced:
            undo.enter_context(patch.object(owner, name, variant))
        yield


def commit_before_outcome() -> AbstractContextManager[None]:
    """Count a record as finished as soon as it is at the head of its lane."""
    watermark = Lanes.watermark

    def eager(self: Lanes, place: Place) -> int:
        offset = watermark(self, place)
        heads = {lane[0].offset for lane in self._lanes.values() if lane[0].place == place}
        return offset + 1 if offset in heads else offset

    return _patched((Lanes, "watermark", eager))


def commit_beyond_unfinished() -> AbstractContextManager[None]:
    """Commit behind the last record finished, not before the first unfinished one."""
    watermark, finish = Lanes.watermark, Lanes.finish
    newest: WeakKeyDictionary[Lanes, dict[Place, int]] = WeakKeyDictionary()

    def finishing(self: Lanes, record: Record) -> None:
        finish(self, record)
        offsets = newest.setdefault(self, {})
        offsets[record.place] = max(offsets.get(record.place, 0), record.offset + 1)

    def behind_newest(self: Lanes, place: Place) -> int:
        return max(watermark(self, place), newest.get(self, {}).get(place, 0))

    return _patched((Lanes, "finish", finishing), (Lanes, "watermark", behind_newest))


def ledger_not_read_back() -> AbstractContextManager[None]:
    """Follow a ledger from its end, as a consumer does with `latest`."""

    async def read_to_now(self: Ledgers, number: int, _start_offsets: Mapping[Place, StartOffset]) -> None:
        place, ledger = self._place(number), self._ledgers[number]
        ledger.next_offset = (await self._records.end_offsets([place]))[place]
        self._reader.follow({place: ledger.next_offset})

    return _patched((Ledgers, "read_to_now", read_to_now))


def ledger_not_followed() -> AbstractContextManager[None]:
    """Read a ledger to its end on assignment, and never again: a former owner's late write is missed."""
    read_to_now = Ledgers.read_to_now

    async def once(self: Ledgers, number: int, start_offsets: Mapping[Place, StartOffset]) -> None:
        await read_to_now(self, number, start_offsets)
        self._reader.unfollow([self._place(number)])

    return _patched((Ledgers, "read_to_now", once))


class _Later(Exception):
    """The record waits for its next attempt, and later records go first."""


def lane_order_broken_on_retry() -> AbstractContextManager[None]:
    """Put a record that must be retried behind those that wait, as a retry queue does."""
    wait = RetryDelay.wait

    async def requeue(self: RetryDelay, work: Any, dispatch: Dispatch, *, free: bool) -> None:
        await wait(self, work, dispatch, free=free)
        raise _Later

    async def run_lane(self: Assignment, key: bytes) -> None:
        while (record := self.lanes.head(key)) is not None:
            self.check()
            try:
                await self._process(record, self)
            except _Later:
                self.lanes._lanes[key].rotate(-1)
                continue
            self.lanes.finish(record)
            self._forget(record)
            self._on_progress()

    return _patched((RetryDelay, "wait", requeue), (Assignment, "_run_lane", run_lane))


def sending_before_the_gate() -> AbstractContextManager[None]:
    """Make the intent durable before the wait at the gate, to hold the gate's tokens for less time."""

    async def run(self: Attempt, work: Any, dispatch: Dispatch) -> Dispatch:
        due = consumers.delivery.decisions.due(dispatch)
        early = dispatch.with_recipients(consumers.delivery.decisions.begin(due, self.sends.clock.now()))
        await self.store.write(work.assignment, early)
        permit = Permit(mentor_id=dispatch.mentor_id, emails=len(due), waits_until=work.waits_until)
        await self.gate.enter(permit)
        with work.assignment.uninterruptible(), self.gate.leaving(permit):
            return await self._permitted(work, dispatch)

    return _patched((Attempt, "run", run))


def drain_cancels_sends() -> AbstractContextManager[None]:
    """Cancel all sends when a partition is revoked, as a plain task group does."""
    close = Assignment.close

    async def abrupt(self: Assignment, deadline_seconds: float) -> None:
        self._uninterruptible.clear()
        await close(self, deadline_seconds)

    return _patched((Assignment, "close", abrupt))


def dead_letter_not_awaited() -> AbstractContextManager[None]:
    """Write the dead letter in parallel with the final record, to save time."""
    write = DeadLetters.dispatch

    async def in_parallel(self: DeadLetters, work: Any, reason: Any, dispatch: Dispatch) -> None:
        work.assignment.start(write(self, work, reason, dispatch))

    return _patched((DeadLetters, "dispatch", in_parallel))


def stale_assignment_commits() -> AbstractContextManager[None]:
    """Commit once more, during the rebalance, what a revoked assignment has finished."""
    give_up = Assignments._give_up

    async def late(self: Assignments, leaving: Sequence[Assignment]) -> None:
        await give_up(self, leaving)
        for assignment in leaving:
            assignment.lanes._committed = dict.fromkeys(assignment.lanes._committed, 0)
        self._stale = asyncio.create_task(_commit_later(self._committer, leaving))  # type: ignore[attr-defined]  # kept alive

    return _patched((Assignments, "_give_up", late))


async def _commit_later(committer: Committer, leaving: Sequence[Assignment]) -> None:
    await asyncio.sleep(0.2)
    await committer.commit(leaving)


def fold_by_arrival() -> AbstractContextManager[None]:
    """Keep the last record, as a compacted topic does."""

    def last(first: Dispatch, later: Dispatch) -> Dispatch:
        seen = {**first.seen_through, **later.seen_through}
        return structs.replace(later, seen_through=seen)

    modules = (consumers.delivery.dispatch_store, consumers.delivery.decisions, consumers.ledger.entry)
    return _patched(*((module, "fold", last) for module in modules))


@dataclass(frozen=True)
class Mutation:
    """A planted bug, and the invariants one of which it breaks first."""

    plant: Callable[[], AbstractContextManager[Any]]
    breaks: frozenset[int]
    found_by: int = 0
    """The seed that found it when somebody last looked: the search begins there, and goes on through all."""


MUTATIONS: Mapping[str, Mutation] = {
    "commit-before-outcome": Mutation(commit_before_outcome, frozenset({5})),
    "commit-beyond-unfinished": Mutation(commit_beyond_unfinished, frozenset({5})),
    "ledger-not-read-back": Mutation(ledger_not_read_back, frozenset({2})),
    "ledger-not-followed": Mutation(ledger_not_followed, frozenset({2}), found_by=281),
    "lane-order-broken-on-retry": Mutation(lane_order_broken_on_retry, frozenset({4})),
    "sending-before-the-gate": Mutation(sending_before_the_gate, frozenset({3})),
    "drain-cancels-sends": Mutation(drain_cancels_sends, frozenset({2, 3})),
    "dead-letter-not-awaited": Mutation(dead_letter_not_awaited, frozenset({1})),
    "stale-assignment-commits": Mutation(stale_assignment_commits, frozenset({5})),
    "fold-by-arrival": Mutation(fold_by_arrival, frozenset({2})),
    "deleted-before-durable": Mutation(feedback_mutations.deleted_before_durable, frozenset({10})),
    "feedback-passed-over": Mutation(feedback_mutations.feedback_passed_over, frozenset({5})),
    "not-reconciled": Mutation(feedback_mutations.not_reconciled, frozenset({3})),
    "escalated-anew": Mutation(feedback_mutations.escalated_anew, frozenset({10})),
    "suppressions-not-looked-at": Mutation(feedback_mutations.suppressions_not_looked_at, frozenset({10})),
    "stop-not-read-first": Mutation(control_mutations.stop_not_read_first, frozenset({11})),
    "held-is-overtaken": Mutation(control_mutations.held_is_overtaken, frozenset({4}), found_by=363),
    "held-is-committed": Mutation(control_mutations.held_is_committed, frozenset({5})),
    "released-is-not-read-again": Mutation(control_mutations.released_is_not_read_again, frozenset({1})),
    "slow-is-overtaken": Mutation(slow_mutations.slow_is_overtaken, frozenset({4})),
    "parked-is-committed": Mutation(slow_mutations.parked_is_committed, frozenset({5})),
    "hastened-is-forgotten": Mutation(slow_mutations.hastened_is_forgotten, frozenset({1})),
}
