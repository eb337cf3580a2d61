"""Whose records a replica takes next."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from unittest.mock import MagicMock

from consumers.assignment.assignment import Assignment
from consumers.ledger.ledger import Ledger
from consumers.replica import Bounds, Replica
from runtime.kafka.records import Place, Record
from runtime.kafka.topics import Topics
from tests.fakes.clock import FakeClock

TOPIC = "mentor.pauses.v1"
HELD = 10


async def _stands(_record: Record, _assignment: Assignment) -> None:
    await asyncio.Event().wait()


def _assignment(number: int) -> Assignment:
    assignment = Assignment(number, Ledger(max_entries=10), FakeClock(), _stands, lambda: None)
    assignment.lanes.start(Place(TOPIC, number), 0)
    assignment.open = True
    return assignment


def _record(number: int, offset: int, *, key: bytes | None = None) -> Record:
    at = datetime(2026, 3, 26, tzinfo=UTC)
    return Record(
        TOPIC, number, offset, key=key or f"m-{offset}".encode(), value=b"{}", headers=(), appended_at=at, size=9
    )


def _replica() -> Replica:
    bounds = Bounds(max_records_held=HELD, max_bytes_held=10**6, max_span=1000, drain_seconds=1, watchdog_seconds=1)
    others = ("membership", "ledgers", "gate", "processor", "follower", "metrics")
    collaborators: dict[str, Any] = {name: MagicMock() for name in others}
    return Replica(bounds, FakeClock(), topics=Topics(), partitions=12, beside=[], **collaborators)


async def test_a_partition_that_holds_its_share_lets_others_have_theirs() -> None:
    """However long the backlog of one is: it is taken from again once some of what it holds is finished."""
    replica = _replica()
    busy, other = _assignment(0), _assignment(1)
    replica._assignments |= {0: busy, 1: other}

    records = [_record(0, offset) for offset in range(HELD // 2)]
    for record in records:
        busy.admit(record)
    assert [Place(TOPIC, 1)] == replica._ready()

    busy.lanes.finish(records[0])
    assert [Place(TOPIC, 0), Place(TOPIC, 1)] == replica._ready()
    await busy.close(0)


async def test_records_that_only_wait_keep_nobody_out() -> None:
    """Up to five times as many as may be held: then they count, since each costs memory."""
    replica = _replica()
    assignment = _assignment(0)
    replica._assignments[0] = assignment
    record = _record(0, 0)
    assignment.admit(record)
    with assignment.lanes.parking(record):
        for offset in range(1, 5 * HELD):
            assert ([Place(TOPIC, 0)], 0) == (replica._ready(), replica._busy())
            assignment.admit(_record(0, offset, key=b"m-0"))
        assert [] == replica._ready()

        assignment.admit(_record(0, 5 * HELD, key=b"m-0"))
        assert 1 == replica._busy()
    await assignment.close(0)
