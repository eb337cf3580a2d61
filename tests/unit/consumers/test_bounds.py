"""What a replica holds, and from which partitions it fetches next."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from consumers.assignment.lanes import Lanes
from consumers.bounds import HELD_APART, PARKED_TIMES, Bounds
from runtime.kafka.records import Place, Record

TOPIC = "mentor.pauses.v1"
HELD = 10
BOUNDS = Bounds(max_records_held=HELD, max_bytes_held=10**6, max_span=1000, drain_seconds=1, watchdog_seconds=1)


def _lanes(number: int, records: int = 0, *, size: int = 9) -> Lanes:
    lanes = Lanes()
    lanes.start(Place(TOPIC, number), 0)
    for offset in range(records):
        lanes.admit(_record(number, offset, size=size))
    return lanes


def _record(number: int, offset: int, *, key: bytes | None = None, size: int = 9) -> Record:
    at = datetime(2026, 3, 26, tzinfo=UTC)
    return Record(
        TOPIC, number, offset, key=key or f"m-{offset}".encode(), value=b"{}", headers=(), appended_at=at, size=size
    )


def test_a_partition_that_holds_its_share_waits_for_the_others() -> None:
    """However long its backlog is, it is fetched from again only when some of what it holds is finished."""
    busy, other = _lanes(0, HELD // 2), _lanes(1)
    owned = [busy, other]
    assert [Place(TOPIC, 1)] == BOUNDS.places_to_fetch(owned, owned)

    first = busy.head(b"m-0")
    assert first is not None
    busy.finish(first)
    assert [Place(TOPIC, 0), Place(TOPIC, 1)] == BOUNDS.places_to_fetch(owned, owned)


def test_parked_records_keep_nobody_out() -> None:
    """Up to five times as many as may be held do not count. Beyond that they do, since each costs memory."""
    lanes, record = _lanes(0), _record(0, 0)
    lanes.admit(record)
    with lanes.parking(record):
        for offset in range(1, PARKED_TIMES * HELD):
            assert [Place(TOPIC, 0)] == BOUNDS.places_to_fetch([lanes], [lanes])
            assert HELD == BOUNDS.room([lanes])
            lanes.admit(_record(0, offset, key=b"m-0"))
        assert [] == BOUNDS.places_to_fetch([lanes], [lanes])

        lanes.admit(_record(0, PARKED_TIMES * HELD, key=b"m-0"))
        assert HELD - 1 == BOUNDS.room([lanes])


def test_only_admitting_partitions_are_fetched_from() -> None:
    """One whose ledger is still being read, or that is being given up, counts in the shares but brings nothing."""
    opening, admitting = _lanes(0), _lanes(1)

    assert [Place(TOPIC, 1)] == BOUNDS.places_to_fetch([opening, admitting], [admitting])
    assert HELD // 2 == BOUNDS.records_to_fetch([opening, admitting])


def test_nothing_is_fetched_when_the_bytes_are_used_up() -> None:
    """Bytes count over all partitions."""
    large, empty = _lanes(0, 1, size=10**6), _lanes(1)

    assert [] == BOUNDS.places_to_fetch([large, empty], [large, empty])


def test_a_partition_is_not_fetched_from_beyond_its_span() -> None:
    """The first unfinished record bounds how far ahead of it records are admitted."""
    lanes = _lanes(0)
    slow = _record(0, 0, key=b"slow")
    lanes.admit(slow)
    for offset in range(1, BOUNDS.max_span):
        record = _record(0, offset, key=b"m")
        lanes.admit(record)
        lanes.finish(record)
    assert [] == BOUNDS.places_to_fetch([lanes], [lanes])

    lanes.finish(slow)
    assert [Place(TOPIC, 0)] == BOUNDS.places_to_fetch([lanes], [lanes])


@pytest.mark.parametrize(
    ("held", "partitions", "fetched"),
    [((0,), 1, 10), ((4,), 1, 6), ((10,), 1, 0), ((0, 0, 0), 3, 3), ((0,) * 40, 40, 1), ((9, 0), 2, 1)],
)
def test_a_fetch_brings_at_most_the_room_and_a_share(held: tuple[int, ...], partitions: int, fetched: int) -> None:
    """With many partitions a share is small, but never nothing."""
    owned = [_lanes(number, records) for number, records in enumerate(held)]
    assert partitions == len(owned)

    assert fetched == BOUNDS.records_to_fetch(owned)


def test_a_fetch_is_not_larger_than_a_poll_may_be() -> None:
    """A replica that holds much fetches in pieces all the same."""
    bounds = Bounds(max_records_held=10**5, max_bytes_held=1, max_span=1, drain_seconds=1, watchdog_seconds=1)

    assert bounds.poll_records == bounds.records_to_fetch([_lanes(0)])


def test_room_counts_parked_records_of_all_partitions_together() -> None:
    """What one partition parks leaves less for the parked records of another."""
    owned = [_lanes(number) for number in range(2)]
    with ExitStack() as parked:
        for number, lanes in enumerate(owned):
            first = _record(number, 0, key=b"m")
            lanes.admit(first)
            parked.enter_context(lanes.parking(first))
            for offset in range(1, 3 * HELD):
                lanes.admit(_record(number, offset, key=b"m"))

        assert HELD - (6 * HELD - PARKED_TIMES * HELD) == BOUNDS.room(owned)


FEEDBACK = Place("pause-notifications.feedback.v1", 0)


def _with_feedback(records: int, *, events: int = 0) -> Lanes:
    lanes = _lanes(0, events)
    lanes.start(FEEDBACK, 0, apart=True)
    for offset in range(records):
        lanes.admit(replace(_record(0, offset, key=f"d-{offset}".encode()), topic=FEEDBACK.topic))
    return lanes


def test_a_backlog_of_events_keeps_no_feedback_out() -> None:
    """An event may wait for feedback, so feedback has room of its own."""
    lanes = _with_feedback(0, events=HELD)

    assert [] == BOUNDS.places_to_fetch([lanes], [lanes])
    assert [FEEDBACK] == BOUNDS.apart_to_fetch([lanes])


def test_feedback_keeps_no_event_out() -> None:
    """It takes none of the room of events, and is bounded itself."""
    lanes = _with_feedback(HELD_APART)

    assert [Place(TOPIC, 0)] == BOUNDS.places_to_fetch([lanes], [lanes])
    assert HELD == BOUNDS.room([lanes])
    assert [] == BOUNDS.apart_to_fetch([lanes])


def test_behind_what_is_left_a_partition_runs_ahead_as_far_as_the_ledger_remembers() -> None:
    """Beyond that it waits: what is finished there might be sent again after a restart."""
    bounds, lanes = replace(BOUNDS, max_span_left=5), _lanes(0, 5)
    assert [Place(TOPIC, 0)] == bounds.places_to_fetch([lanes], [lanes])

    lanes.leave(b"m-0")
    assert [] == bounds.places_to_fetch([lanes], [lanes])
