"""A partition while it is owned: its lanes at work, and its revocation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from consumers.assignment.assignment import Assignment, Failed, Revoked
from consumers.ledger.ledger import Ledger
from runtime.kafka.records import Place, Record
from tests.fakes.clock import FakeClock
from tests.unit.dispatches import NOW

PLACE = Place("mentor.pauses.v1", 5)
Process = Callable[[Record, Assignment], Awaitable[None]]


def assignment_of(process: Process, clock: FakeClock, progress: Callable[[], None] = lambda: None) -> Assignment:
    """Return an assignment whose records *process* processes."""
    assignment = Assignment(5, Ledger(max_entries=10), clock, process, progress)
    assignment.lanes.start(PLACE, 0)
    return assignment


def record_at(offset: int, key: bytes = b"m") -> Record:
    """Return a record."""
    return Record(PLACE.topic, PLACE.partition, offset, key, b"{}", [], NOW, 2)


class Processing:
    """Processes records when the test lets it, in an uninterruptible block or outside of one."""

    def __init__(self, *, uninterruptible: bool = False) -> None:
        self.uninterruptible = uninterruptible
        self.may_end = asyncio.Event()
        self.begun: list[int] = []
        self.ended: list[int] = []

    async def process(self, record: Record, assignment: Assignment) -> None:
        """Wait until it may end."""
        self.begun.append(record.offset)
        if self.uninterruptible:
            with assignment.uninterruptible():
                await self.may_end.wait()
        else:
            await self.may_end.wait()
        self.ended.append(record.offset)


async def test_mentors_run_in_parallel_and_each_in_order() -> None:
    """A lane begins its next record when the one before is finished, and reports progress each time."""
    clock, processing, progress = FakeClock(), Processing(), []
    assignment = assignment_of(processing.process, clock, lambda: progress.append(1))
    for record in (record_at(0, b"a"), record_at(1, b"a"), record_at(2, b"b")):
        assignment.admit(record)
    await clock.advance(1)
    assert [0, 2] == processing.begun

    processing.may_end.set()
    await clock.advance(1)
    assert [0, 2, 1] == processing.begun
    assert {PLACE: 3} == assignment.lanes.committable()
    assert 3 == len(progress)


async def test_uninterruptible_blocks_nest() -> None:
    """The end of an inner block does not end the outer one: a revocation waits for that."""
    clock, may_end, ended = FakeClock(), asyncio.Event(), list[int]()

    async def process(record: Record, assignment: Assignment) -> None:
        with assignment.uninterruptible():
            with assignment.uninterruptible():
                pass
            await may_end.wait()
            ended.append(record.offset)

    assignment = assignment_of(process, clock)
    assignment.admit(record_at(0))
    await clock.advance(1)
    closing = asyncio.create_task(assignment.close(10))
    await clock.advance(1)
    may_end.set()
    await clock.advance(1)
    await closing

    assert [0] == ended


async def test_the_time_of_admission_is_kept() -> None:
    """The grace for a contact and the wait of a caller count from then."""
    clock, processing = FakeClock(), Processing()
    assignment, record = assignment_of(processing.process, clock), record_at(0)
    await clock.advance(7)
    assignment.admit(record)
    await clock.advance(3)

    assert 7.0 == assignment.taken_at(record)
    await assignment.close(1)


async def test_a_lane_survives_a_bug_and_tries_its_record_again() -> None:
    """The record is not finished; its mentor waits, others do not."""
    clock, seen = FakeClock(), []

    async def process(record: Record, _assignments: Assignment) -> None:
        seen.append(record.offset)
        if seen == [0]:
            raise KeyError("ours")

    assignment = assignment_of(process, clock)
    for record in (record_at(0, b"a"), record_at(1, b"a"), record_at(2, b"b")):
        assignment.admit(record)
    await clock.advance(4.9)
    assert [0, 2] == seen
    assert {} == assignment.lanes.committable()

    await clock.advance(0.2)
    assert [0, 2, 0, 1] == seen
    assert {PLACE: 3} == assignment.lanes.committable()


async def test_each_try_that_fails_by_a_bug_is_counted() -> None:
    """One mentor who waits for a bug is seen, although all others are served."""
    clock, failed = FakeClock(), list[Failed]()

    async def process(record: Record, _assignment: Assignment) -> None:
        if len(failed) < 2 and record.offset == 0:
            raise KeyError("ours")

    assignment = Assignment(5, Ledger(max_entries=10), clock, process, lambda: None, failed.append)
    assignment.lanes.start(PLACE, 0)
    for record in (record_at(0, b"a"), record_at(1, b"b")):
        assignment.admit(record)
    await clock.advance(11)

    assert [Failed.RECORD] * 2 == failed
    assert 0 == assignment.lanes.held


async def test_other_work_that_fails_is_counted() -> None:
    """Reading the ledger, for example; what ends because the partition is revoked is no failure."""
    failed = list[Failed]()
    assignment = Assignment(5, Ledger(max_entries=10), FakeClock(), Processing().process, lambda: None, failed.append)

    async def work(error: Exception) -> None:
        raise error

    for error in (KeyError("ours"), Revoked()):
        assignment.start(work(error))
    await asyncio.sleep(0)
    await assignment.close(1)

    assert [Failed.PARTITION] == failed


async def test_closing_interrupts_what_waits() -> None:
    """It is not finished: the next owner processes it."""
    clock, processing = FakeClock(), Processing()
    assignment = assignment_of(processing.process, clock)
    assignment.admit(record_at(0))
    await clock.advance(1)
    await assignment.close(25)

    assert [] == processing.ended
    assert 1 == assignment.lanes.held
    assert assignment.gone


async def test_closing_waits_for_what_passed_the_gate() -> None:
    """What passed the gate is finished; the lane's next record is not begun."""
    clock, processing = FakeClock(), Processing(uninterruptible=True)
    assignment = assignment_of(processing.process, clock)
    for offset in range(2):
        assignment.admit(record_at(offset))
    await clock.advance(1)
    closing = asyncio.create_task(assignment.close(25))
    await clock.advance(1)
    assert not closing.done()
    assert assignment.closing
    assert not assignment.gone

    processing.may_end.set()
    await closing
    assert [0] == processing.begun
    assert [0] == processing.ended
    assert {PLACE: 1} == assignment.lanes.committable()
    assert assignment.gone


async def test_closing_waits_no_longer_than_its_deadline() -> None:
    """What has not ended by then is cancelled, and not finished."""
    clock, processing = FakeClock(), Processing(uninterruptible=True)
    assignment = assignment_of(processing.process, clock)
    assignment.admit(record_at(0))
    await clock.advance(1)
    closing = asyncio.create_task(assignment.close(25))
    await clock.advance(26)
    await closing

    assert [] == processing.ended
    assert {} == assignment.lanes.committable()
    assert assignment.gone


async def test_a_revoked_lane_ends_quietly() -> None:
    """No record is tried again, and none is finished."""
    clock, seen = FakeClock(), []

    async def process(record: Record, assignment: Assignment) -> None:
        seen.append(record.offset)
        assignment.closing = True
        assignment.check()

    assignment = assignment_of(process, clock)
    for offset in range(2):
        assignment.admit(record_at(offset))
    await clock.advance(60)

    assert [0] == seen
    assert 2 == assignment.lanes.held


async def test_check_raises_when_closing() -> None:
    """It is called before each wait that may be long."""
    assignment = assignment_of(Processing().process, FakeClock())
    assignment.check()
    await assignment.close(0)

    with pytest.raises(Revoked):
        assignment.check()


async def test_work_of_an_assignment_ends_with_it() -> None:
    """Reading the ledger, for example, is cancelled."""
    assignment = assignment_of(Processing().process, FakeClock())
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    assignment.start(work())
    await asyncio.sleep(0)
    await assignment.close(25)

    assert ended.is_set()
