"""What a replica holds, and from which partitions it fetches next."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from consumers.assignment.lanes import Lanes
from consumers.bounds import HELD_APART, PARKED_TIMES, Bounds
from runtime.kafka.records import Place, Record
from schemas.events import EVENT_TOPICS

TOPIC, OTHER_TOPIC = EVENT_TOPICS
HELD = 20
SHARE = HELD // 4
"""What each place may hold, of two partitions."""
BOUNDS = Bounds(max_records_held=HELD, max_bytes_held=10**6, max_span=1000, drain_seconds=1, watchdog_seconds=1)


def _lanes(number: int, records: int = 0, *, size: int = 9) -> Lanes:
    lanes = Lanes()
    for topic in EVENT_TOPICS:
        lanes.start(Place(topic, number), 0)
    for offset in range(records):
        lanes.admit(_record(number, offset, size=size))
    return lanes


def _both(*numbers: int) -> list[Place]:
    return [Place(topic, number) for number in numbers for topic in EVENT_TOPICS]


def _record(number: int, offset: int, *, key: bytes | None = None, size: int = 9, topic: str = TOPIC) -> Record:
    at = datetime(2026, 3, 26, tzinfo=UTC)
    return Record(
        topic, number, offset, key=key or f"m-{offset}".encode(), value=b"{}", headers=(), appended_at=at, size=size
    )


def _short(owned: list[Lanes], admitting: list[Lanes]) -> list[Place]:
    return BOUNDS.short_places(BOUNDS.places_to_fetch(owned, admitting), owned, admitting)


def _finish(lanes: Lanes, key: bytes) -> None:
    head = lanes.head(key)
    assert head is not None
    lanes.finish(head)


def test_a_place_that_holds_its_share_waits_for_the_others() -> None:
    """However long its backlog is, it is fetched from again only when half of what it holds is finished."""
    busy, other = _lanes(0, SHARE), _lanes(1)
    owned = [busy, other]
    elsewhere = [Place(OTHER_TOPIC, 0), *_both(1)]
    batch = BOUNDS.records_to_fetch(owned)
    for offset in range(batch):
        assert elsewhere == BOUNDS.places_to_fetch(owned, owned)
        _finish(busy, b"m-%d" % offset)

    assert _both(0, 1) == BOUNDS.places_to_fetch(owned, owned)


@pytest.mark.parametrize("held", range(8, 65))
def test_no_backlog_takes_the_room_of_another_place(held: int) -> None:
    """However fetches and ends come, a place that holds nothing may bring records, and the bound is kept."""
    bounds, owned = replace(BOUNDS, max_records_held=held), [_lanes(number) for number in range(4)]
    idle, *busy = _both(0, 1, 2, 3)
    keys: dict[Place, deque[bytes]] = {place: deque() for place in busy}
    for _ in range(3):
        while backlog := [place for place in bounds.places_to_fetch(owned, owned) if place != idle]:
            first, lanes = backlog[0], owned[backlog[0].partition]
            for offset in range(lanes.admitted_to(first), lanes.admitted_to(first) + bounds.records_to_fetch(owned)):
                keys[first].append(f"{first.topic}-{offset}".encode())
                lanes.admit(_record(first.partition, offset, key=keys[first][-1], topic=first.topic))

        assert held >= sum(lanes.held for lanes in owned)
        assert [idle] == bounds.places_to_fetch(owned, owned)
        for place in busy:
            _finish(owned[place.partition], keys[place].popleft())


def test_parked_records_keep_nobody_out() -> None:
    """Up to five times as many as may be held do not count. Beyond that they do, since each costs memory."""
    lanes, record = _lanes(0), _record(0, 0)
    lanes.admit(record)
    with lanes.parking(record):
        for offset in range(1, PARKED_TIMES * HELD):
            assert _both(0) == BOUNDS.places_to_fetch([lanes], [lanes])
            assert HELD == BOUNDS.room([lanes])
            lanes.admit(_record(0, offset, key=b"m-0"))
        assert [Place(OTHER_TOPIC, 0)] == BOUNDS.places_to_fetch([lanes], [lanes])

        lanes.admit(_record(0, PARKED_TIMES * HELD, key=b"m-0"))
        assert HELD - 1 == BOUNDS.room([lanes])


def test_only_admitting_partitions_are_fetched_from() -> None:
    """One whose ledger is still being read, or that is being given up, counts in the shares but brings nothing."""
    opening, admitting = Lanes(), _lanes(1, SHARE)

    assert [Place(OTHER_TOPIC, 1)] == BOUNDS.places_to_fetch([opening, admitting], [admitting])


def test_nothing_is_fetched_when_the_bytes_are_used_up() -> None:
    """Bytes count over all partitions."""
    large, empty = _lanes(0, 1, size=10**6), _lanes(1)

    assert [] == BOUNDS.places_to_fetch([large, empty], [large, empty])


def test_a_place_is_not_fetched_from_beyond_its_span() -> None:
    """The first unfinished record bounds how far ahead of it records are admitted."""
    lanes = _lanes(0)
    slow = _record(0, 0, key=b"slow")
    lanes.admit(slow)
    for offset in range(1, BOUNDS.max_span):
        record = _record(0, offset, key=b"m")
        lanes.admit(record)
        lanes.finish(record)
    assert [Place(OTHER_TOPIC, 0)] == BOUNDS.places_to_fetch([lanes], [lanes])

    lanes.finish(slow)
    assert _both(0) == BOUNDS.places_to_fetch([lanes], [lanes])


@pytest.mark.parametrize(
    ("held", "fetched"),
    [((0,), 5), ((17,), 3), ((20,), 0), ((0, 0), 2), ((0,) * 40, 1), ((19, 0), 1)],
)
def test_a_fetch_brings_at_most_the_room_and_half_a_share(held: tuple[int, ...], fetched: int) -> None:
    """With many partitions a share is small, but never nothing."""
    owned = [_lanes(number, records) for number, records in enumerate(held)]

    assert fetched == BOUNDS.records_to_fetch(owned)


def test_a_fetch_is_not_larger_than_a_poll_may_be() -> None:
    """A replica that holds much fetches in pieces all the same."""
    bounds = Bounds(max_records_held=10**5, max_bytes_held=1, max_span=1, drain_seconds=1, watchdog_seconds=1)

    assert bounds.poll_records == bounds.records_to_fetch([_lanes(0)])


def test_what_one_place_parks_leaves_the_other_places_theirs() -> None:
    """A place that has parked all that may be parked, and holds its share beside that, takes no other's room."""
    owned = [_lanes(number) for number in range(2)]
    first = _record(0, 0, key=b"m")
    owned[0].admit(first)
    with owned[0].parking(first):
        for offset in range(1, PARKED_TIMES * HELD + SHARE):
            owned[0].admit(_record(0, offset, key=b"m"))

        assert [Place(OTHER_TOPIC, 0), *_both(1)] == BOUNDS.places_to_fetch(owned, owned)


def test_places_that_hold_little_go_first() -> None:
    """Where a backlog is read, others are asked first; without a backlog, all are asked at once."""
    busy, other = _lanes(0, 2), _lanes(1)
    assert [Place(OTHER_TOPIC, 0), *_both(1)] == _short([busy, other], [busy, other])

    assert [] == _short([other, _lanes(2)], [other])


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

    assert [Place(OTHER_TOPIC, 0)] == replace(BOUNDS, max_records_held=2 * HELD).places_to_fetch([lanes], [lanes])
    assert [] == BOUNDS.places_to_fetch([lanes], [lanes])
    assert [FEEDBACK] == BOUNDS.apart_to_fetch([lanes])


def test_feedback_keeps_no_event_out() -> None:
    """It takes none of the room of events, and is bounded itself."""
    lanes = _with_feedback(HELD_APART)

    assert _both(0) == BOUNDS.places_to_fetch([lanes], [lanes])
    assert HELD == BOUNDS.room([lanes])
    assert [] == BOUNDS.apart_to_fetch([lanes])


def test_behind_what_is_left_a_partition_runs_ahead_as_far_as_the_ledger_remembers() -> None:
    """Beyond that it waits: what is finished there might be sent again after a restart."""
    bounds, lanes = replace(BOUNDS, max_span_left=5), _lanes(0, 5)
    assert _both(0) == bounds.places_to_fetch([lanes], [lanes])

    lanes.leave(b"m-0")
    assert [Place(OTHER_TOPIC, 0)] == bounds.places_to_fetch([lanes], [lanes])
