"""A partition while it is owned: lanes at work, and how they are given up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from consumers.assignment.assignment import Assignment, Revoked
from consumers.ledger.ledger import Ledger
from runtime.kafka.records import Place, Record
from tests.fakes.clock import FakeClock
from tests.unit.dispatches import NOW

PLACE = Place("mentor.pauses.v1", 5)
See = Callable[[Record, Assignment], Awaitable[None]]


def owned_of(see: See, clock: FakeClock, progress: Callable[[], None] = lambda: None) -> Assignment:
    """Return an owned partition whose records *see* sees through."""
    assignment = Assignment(5, Ledger(max_entries=10), clock, see, progress)
    assignment.lanes.start(PLACE, 0)
    return assignment


def record_at(offset: int, key: bytes = b"m") -> Record:
    """Return a record."""
    return Record(PLACE.topic, PLACE.partition, offset, key, b"{}", [], NOW, 2)


class Lanes:
    """Sees records through when it is told to, in a passage or outside of one."""

    def __init__(self, *, uninterruptible: bool = False) -> None:
        self.uninterruptible = uninterruptible
        self.may_end = asyncio.Event()
        self.begun: list[int] = []
        self.ended: list[int] = []

    async def see(self, record: Record, assignment: Assignment) -> None:
        """Wait to be told, then end."""
        self.begun.append(record.offset)
        if self.uninterruptible:
            with assignment.uninterruptible():
                await self.may_end.wait()
        else:
            await self.may_end.wait()
        self.ended.append(record.offset)


async def test_mentors_run_side_by_side_and_each_in_order() -> None:
    """A lane begins its next record when the one before is finished; progress is told each time."""
    clock, lanes, told = FakeClock(), Lanes(), []
    assignment = owned_of(lanes.see, clock, lambda: told.append(1))
    for record in (record_at(0, b"a"), record_at(1, b"a"), record_at(2, b"b")):
        assignment.admit(record)
    await clock.advance(1)
    assert [0, 2] == lanes.begun

    lanes.may_end.set()
    await clock.advance(1)
    assert ([0, 2, 1], {PLACE: 3}, 3) == (lanes.begun, assignment.lanes.committable(), len(told))


async def test_a_record_knows_when_it_was_taken() -> None:
    """Graces and callers' waits count from then."""
    clock, lanes = FakeClock(), Lanes()
    assignment, record = owned_of(lanes.see, clock), record_at(0)
    await clock.advance(7)
    assignment.admit(record)
    await clock.advance(3)

    assert 7.0 == assignment.taken_at(record)
    await assignment.close(1)


async def test_a_lane_survives_an_error_of_ours_and_tries_its_record_again() -> None:
    """The record is not finished by it, its mentor waits, others do not."""
    clock, seen = FakeClock(), []

    async def see(record: Record, _assignments: Assignment) -> None:
        seen.append(record.offset)
        if seen == [0]:
            raise KeyError("ours")

    assignment = owned_of(see, clock)
    for record in (record_at(0, b"a"), record_at(1, b"a"), record_at(2, b"b")):
        assignment.admit(record)
    await clock.advance(4.9)
    assert ([0, 2], {}) == (seen, assignment.lanes.committable())

    await clock.advance(0.2)
    assert ([0, 2, 0, 1], {PLACE: 3}) == (seen, assignment.lanes.committable())


async def test_closing_interrupts_what_waits() -> None:
    """It is not finished: the next owner sees it through."""
    clock, lanes = FakeClock(), Lanes()
    assignment = owned_of(lanes.see, clock)
    assignment.admit(record_at(0))
    await clock.advance(1)
    await assignment.close(25)

    assert ([], 1, True) == (lanes.ended, assignment.lanes.held, assignment.gone)


async def test_closing_waits_for_a_passage() -> None:
    """What passed the gate ends, and is finished; the lane's next record is not begun."""
    clock, lanes = FakeClock(), Lanes(uninterruptible=True)
    assignment = owned_of(lanes.see, clock)
    for offset in range(2):
        assignment.admit(record_at(offset))
    await clock.advance(1)
    closing = asyncio.create_task(assignment.close(25))
    await clock.advance(1)
    assert (False, True, False) == (closing.done(), assignment.closing, assignment.gone)

    lanes.may_end.set()
    await closing
    assert ([0], [0], {PLACE: 1}, True) == (
        lanes.begun,
        lanes.ended,
        assignment.lanes.committable(),
        assignment.gone,
    )


async def test_closing_waits_no_longer_than_its_deadline() -> None:
    """What has not ended by then is cut off, and not finished."""
    clock, lanes = FakeClock(), Lanes(uninterruptible=True)
    assignment = owned_of(lanes.see, clock)
    assignment.admit(record_at(0))
    await clock.advance(1)
    closing = asyncio.create_task(assignment.close(25))
    await clock.advance(26)
    await closing

    assert ([], {}, True) == (lanes.ended, assignment.lanes.committable(), assignment.gone)


async def test_a_lane_that_gives_up_ends_quietly() -> None:
    """Nothing is tried again, nothing finished."""
    clock, seen = FakeClock(), []

    async def see(record: Record, assignment: Assignment) -> None:
        seen.append(record.offset)
        assignment.closing = True
        assignment.check()

    assignment = owned_of(see, clock)
    for offset in range(2):
        assignment.admit(record_at(offset))
    await clock.advance(60)

    assert ([0], 2) == (seen, assignment.lanes.held)


async def test_one_that_is_closing_says_so() -> None:
    """It is asked before each wait that may be long."""
    assignment = owned_of(Lanes().see, FakeClock())
    assignment.check()
    await assignment.close(0)

    with pytest.raises(Revoked):
        assignment.check()


async def test_work_of_an_assignment_ends_with_it() -> None:
    """Reading the ledger, for one, is not left behind."""
    assignment = owned_of(Lanes().see, FakeClock())
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
