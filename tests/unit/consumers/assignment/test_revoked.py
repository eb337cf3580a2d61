"""A replica that gives partitions up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast
from unittest.mock import MagicMock

from consumers.assignment.assignment import Assignment
from consumers.assignment.membership import CommitRefused
from consumers.replica import Bounds, Replica
from runtime.kafka.records import Place
from runtime.kafka.topics import Topics
from tests.fakes.clock import FakeClock
from tests.unit.consumers.stage import NUMBER, a_stage, event_of


class _RefusingGroup:
    """A group that was asked to commit, and refused."""

    def __init__(self) -> None:
        self.asked: list[Mapping[Place, int]] = []

    async def commit(self, offsets: Mapping[Place, int]) -> None:
        """Refuse."""
        self.asked.append(offsets)
        raise CommitRefused("CommitFailedError")


def _replica(membership: _RefusingGroup, clock: FakeClock) -> Replica:
    bounds = Bounds(max_records_held=1, max_bytes_held=1, max_span=1, drain_seconds=1, watchdog_seconds=1)
    others = ("ledgers", "gate", "processor", "follower", "metrics")
    collaborators = {name: MagicMock() for name in others}
    return Replica(
        bounds, clock, topics=Topics(), partitions=12, membership=cast(Any, membership), beside=[], **collaborators
    )


async def test_what_was_given_up_is_not_committed_again() -> None:
    """A stop that comes during a revocation gives the same partition up, which by then may be somebody else's."""
    async with a_stage() as stage:
        await stage.process(stage.append(event_of()))
        assignment: Assignment = stage.assignment
        membership = _RefusingGroup()
        replica = _replica(membership, stage.clock)
        replica._assignments[NUMBER] = assignment

        await asyncio.gather(replica._give_up([assignment]), stage.clock.advance(1))
        await asyncio.gather(replica._give_up([assignment]), stage.clock.advance(1))

    assert 1 == len(membership.asked)


async def test_what_is_assigned_to_one_who_stops_is_not_taken_up() -> None:
    """Nobody would drain it: a send that it began would be cut off when the program ends."""
    replica = _replica(_RefusingGroup(), FakeClock())
    replica._stopping = True

    replica._assigned({Place("mentor.pauses.v1", NUMBER)})

    assert {} == replica._assignments
