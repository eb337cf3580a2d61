"""Partitions that are assigned, opened, and given up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import cast
from unittest.mock import AsyncMock, MagicMock

from prometheus_client import CollectorRegistry

from consumers.assignment.assignment import Assignment
from consumers.assignment.assignments import Assignments
from consumers.assignment.committer import Committer
from consumers.assignment.membership import CommitRefused, Membership
from consumers.metrics import replica_metrics
from runtime.clock import Clock
from runtime.kafka.records import Place
from runtime.kafka.topics import Topics
from tests.fakes.clock import FakeClock
from tests.unit.consumers.stage import NUMBER, a_stage, event_of

PLACE = Place("mentor.pauses.v1", NUMBER)


FEEDBACK = Topics().feedback


class _RefusingGroup:
    """A group that refuses each commit."""

    def __init__(self) -> None:
        self.asked: list[Mapping[Place, int]] = []

    async def commit(self, offsets: Mapping[Place, int]) -> None:
        """Refuse."""
        self.asked.append(offsets)
        raise CommitRefused("CommitFailedError")


Opening = Callable[[Assignment, Sequence[Place]], Awaitable[None]]


def _assignments(
    clock: Clock, group: _RefusingGroup, *, owned: list[int] | None = None, opening: Opening | None = None
) -> Assignments:
    committer = Committer(cast(Membership, group), replica_metrics(CollectorRegistry()))
    ledgers, store = MagicMock(), MagicMock()
    opener = MagicMock(open=opening or AsyncMock())
    on_owned = (owned if owned is not None else []).append
    return Assignments(
        clock, ledgers, AsyncMock(), store, opener, committer, drain_seconds=1, on_owned=on_owned, apart=FEEDBACK
    )


async def test_what_was_given_up_is_not_committed_again() -> None:
    """A stop during a revocation gives the same partition up, which by then another replica may own."""
    async with a_stage() as stage:
        await stage.process(stage.append(event_of()))
        group = _RefusingGroup()
        assignments = _assignments(stage.clock, group)
        assignments._owned[NUMBER] = stage.assignment

        await asyncio.gather(assignments.revoke({PLACE}), stage.clock.advance(1))
        await asyncio.gather(assignments._give_up([stage.assignment]), stage.clock.advance(1))

    assert 1 == len(group.asked)


async def test_feedback_is_owned_only_along_with_its_events() -> None:
    """During an upgrade the group may part them: the owner of the events alone may act on feedback."""
    assignments = _assignments(FakeClock(), _RefusingGroup())
    assignments.assign({Place(FEEDBACK, 1), Place(FEEDBACK, 2), Place(PLACE.topic, 2)})

    assert [2] == [assignment.number for assignment in assignments]
    await assignments.stop()


async def test_a_replica_that_stops_owns_nothing_more() -> None:
    """Nobody would drain what is assigned now: a send that it began would be cut off when the program ends."""
    assignments = _assignments(FakeClock(), _RefusingGroup())
    await assignments.stop()

    assignments.assign({PLACE})

    assert 0 == len(assignments)


async def test_the_share_of_the_rate_follows_what_is_owned() -> None:
    """The gate is told how many partition numbers are owned after each assignment and each revocation."""
    owned: list[int] = []
    assignments = _assignments(FakeClock(), _RefusingGroup(), owned=owned)

    assignments.assign({PLACE, Place("mentor.certifications.v1", NUMBER), Place("mentor.pauses.v1", NUMBER + 1)})
    await asyncio.sleep(0)
    await assignments.revoke({PLACE})

    assert [2, 1] == owned
    assert assignments.get(NUMBER) is None
    assert assignments.get(NUMBER + 1) is not None


async def test_a_rebalance_pauses_until_all_is_open() -> None:
    """The pause lasts from the revocation until the ledger of all that is owned then is read; a stop is none."""
    clock = FakeClock()

    async def opening(assignment: Assignment, _places: Sequence[Place]) -> None:
        await clock.sleep(3)
        assignment.open = True

    assignments = _assignments(clock, _RefusingGroup(), opening=opening)
    paused = []
    for step in (lambda: assignments.assign({PLACE}), None, lambda: assignments.assign(set())):
        if step is None:
            await assignments.revoke({PLACE})
        else:
            step()
        await clock.advance(4)
        paused.append(assignments.paused_seconds)
    await assignments.stop()
    await clock.advance(10)

    assert [3, 7, 7] == paused
    assert 7 == assignments.paused_seconds
    assert 2 == assignments.rebalances
