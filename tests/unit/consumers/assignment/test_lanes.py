"""A partition's lanes: order per mentor, what is held, and what may be committed."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consumers.assignment.lanes import Lanes
from runtime.kafka.records import Place, Record
from tests.unit.dispatches import NOW

PAUSES, CERTIFICATIONS = Place("mentor.pauses.v1", 5), Place("mentor.certifications.v1", 5)
PLACES = (PAUSES, CERTIFICATIONS)
START = 10


def record_at(offset: int, *, key: bytes | None = b"m", place: Place = PAUSES, size: int = 1) -> Record:
    """Return a record."""
    return Record(place.topic, place.partition, offset, key, b"{}", [], NOW, size)


def partition_of() -> Lanes:
    """Return a partition whose places begin at START."""
    partition = Lanes()
    for place in PLACES:
        partition.start(place, START)
    return partition


class LanesMachine(RuleBasedStateMachine):
    """Admits, finishes, holds, releases and commits in any order, beside a model that is plain to see."""

    def __init__(self) -> None:
        super().__init__()
        self.partition = partition_of()
        self.next = dict.fromkeys(PLACES, START)
        self.unfinished: dict[Place, set[int]] = {place: set() for place in PLACES}
        self.lanes: dict[bytes, list[Record]] = {}
        self.holds: list[tuple[Place, int]] = []
        self.committed = dict.fromkeys(PLACES, START)

    @rule(
        place=st.sampled_from(PLACES),
        key=st.sampled_from([b"a", b"b", b"c", None]),
        gap=st.integers(0, 2),
        size=st.integers(0, 9),
    )
    def admit(self, place: Place, key: bytes | None, gap: int, size: int) -> None:
        """Take the next record, where compaction or a transaction may have left a gap before it."""
        record = record_at(self.next[place] + gap, key=key, place=place, size=size)
        lane = self.lanes.setdefault(key or b"", [])
        to_run = self.partition.admit(record)

        assert to_run == (None if lane else key or b"")
        lane.append(record)
        self.unfinished[place].add(record.offset)
        self.next[place] = record.offset + 1

    @precondition(lambda self: any(self.lanes.values()))
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """Finish the head of any lane."""
        key = data.draw(st.sampled_from(sorted(key for key, lane in self.lanes.items() if lane)))
        record = self.lanes[key].pop(0)

        assert self.partition.head(key) is record
        self.partition.finish(record)
        self.unfinished[record.place].discard(record.offset)

    @precondition(lambda self: any(len(lane) > 1 for lane in self.lanes.values()))
    @rule(data=st.data())
    def finish_out_of_order(self, data: st.DataObject) -> None:
        """Try to overtake within a lane."""
        lane = data.draw(st.sampled_from([lane for lane in self.lanes.values() if len(lane) > 1]))
        with pytest.raises(ValueError, match="not the head"):
            self.partition.finish(lane[-1])

    @rule(place=st.sampled_from(PLACES), length=st.integers(1, 3))
    def hold(self, place: Place, length: int) -> None:
        """Pass an unreadable batch over, which is to be set aside first."""
        first = self.next[place]
        self.partition.hold(place, first, first + length)
        self.holds.append((place, first))
        self.next[place] = first + length
        # What follows the batch is read from behind it, whether or not it was set aside by then.

    @precondition(lambda self: any(self.unfinished.values()))
    @rule(data=st.data())
    def hold_at_a_record(self, data: st.DataObject) -> None:
        """Begin a range of dead letters at a record that is finished before the range is durable."""
        place = data.draw(st.sampled_from([place for place in PLACES if self.unfinished[place]]))
        first = data.draw(st.sampled_from(sorted(self.unfinished[place])))
        self.partition.hold(place, first, first + 1)
        self.holds.append((place, first))

    @precondition(lambda self: bool(self.holds))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """Count a batch, or a range, as set aside."""
        held = data.draw(st.sampled_from(self.holds))
        self.holds.remove(held)
        self.partition.release(*held)

    @rule()
    def commit(self) -> None:
        """Commit all that may be."""
        marks = self.partition.committable()
        self.partition.committed(marks)

        assert all(mark > self.committed[place] for place, mark in marks.items())
        self.committed.update(marks)
        assert not self.partition.committable()

    @invariant()
    def never_past_an_unfinished_record(self) -> None:
        """No offset is committed past an unfinished record; all that is finished before the first may be."""
        for place in PLACES:
            mark = self.partition.watermark(place)
            left = self.unfinished[place] | {first for held, first in self.holds if held == place}
            assert min(left, default=self.next[place]) == mark
            assert self.committed[place] <= mark

    @invariant()
    def held_is_what_was_taken_and_not_finished(self) -> None:
        """Numbers and bytes are those of the records in the lanes, and of what holds the commit back."""
        assert sum(map(len, self.unfinished.values())) + len(set(self.holds)) == self.partition.held
        assert sum(r.size for lane in self.lanes.values() for r in lane) == self.partition.held_bytes

    @invariant()
    def heads_are_in_order(self) -> None:
        """The head of a lane is the mentor's first unfinished record."""
        for key, lane in self.lanes.items():
            assert self.partition.head(key) is (lane[0] if lane else None)

    def teardown(self) -> None:
        """Finish everything: then everything may be committed."""
        for lane in self.lanes.values():
            for record in lane:
                self.partition.finish(record)
        for held in self.holds:
            self.partition.release(*held)

        assert self.next == {place: self.partition.watermark(place) for place in PLACES}
        assert (0, 0) == (self.partition.held, self.partition.held_bytes)


LanesMachine.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
TestLanes = LanesMachine.TestCase


def test_a_record_admitted_twice_is_refused() -> None:
    """It would be sent twice, and finished but once."""
    partition = partition_of()
    partition.admit(record_at(START))

    with pytest.raises(ValueError, match="v1-5-10 was admitted before"):
        partition.admit(record_at(START))


def test_a_record_from_before_the_start_is_refused() -> None:
    """What was committed is finished."""
    with pytest.raises(ValueError, match="was admitted before"):
        partition_of().admit(record_at(START - 1))


def test_a_mentors_lane_holds_the_events_of_both_topics() -> None:
    """They share a key, and so an order."""
    partition = partition_of()

    assert b"m" == partition.admit(record_at(START))
    assert partition.admit(record_at(START, place=CERTIFICATIONS)) is None


def test_the_span_is_counted_from_the_watermark() -> None:
    """One slow mentor bounds how far the others run ahead."""
    partition = partition_of()
    slow = record_at(START, key=b"slow")
    partition.admit(slow)
    for offset in range(START + 1, START + 5):
        partition.admit(record_at(offset))
        partition.finish(record_at_head(partition))

    assert (5, {}) == (partition.span(PAUSES), partition.committable())
    partition.finish(slow)
    assert (0, {PAUSES: START + 5}) == (partition.span(PAUSES), partition.committable())


def record_at_head(partition: Lanes) -> Record:
    """Return the head of the lane of `m`."""
    record = partition.head(b"m")
    assert record is not None
    return record


def test_the_oldest_is_the_first_appended_of_all_lanes() -> None:
    """What a person asks first of a backlog."""
    partition = partition_of()

    assert partition.oldest() is None
    first = record_at(START, key=b"a")
    for record in (first, record_at(START + 1, key=b"b")):
        partition.admit(record)
    assert partition.oldest() is first


def test_a_commit_of_a_place_that_is_not_ours_is_ignored() -> None:
    """An answer may come after the place was given up."""
    partition = partition_of()
    partition.committed({Place("other", 1): 99, PAUSES: START - 5})

    assert {} == partition.committable()


def test_offsets_that_are_missing() -> None:
    """Before and among those that came, each run of them with the offset behind it."""
    partition = partition_of()
    first = partition.watermark(PAUSES)

    assert [] == partition.leaps(PAUSES, [first, first + 1])
    assert [(first, first + 2), (first + 3, first + 9)] == partition.leaps(PAUSES, [first + 2, first + 9])


def test_missing_offsets_hold_the_commit_back() -> None:
    """Until they are released, also when records behind them are finished."""
    partition = partition_of()
    first = partition.watermark(PAUSES)
    partition.hold(PAUSES, first, first + 5)
    record = record_at(first + 5)
    partition.admit(record)
    partition.finish(record)
    assert {} == partition.committable()

    partition.release(PAUSES, first)
    assert {PAUSES: first + 6} == partition.committable()


def test_a_lane_that_only_waits_is_parked() -> None:
    """All of its records are, those that come meanwhile, too, and no other lane's."""
    partition = partition_of()
    first = partition.watermark(PAUSES)
    waiting = record_at(first, key=b"waiting")
    partition.admit(waiting)
    partition.admit(record_at(first + 1, key=b"busy"))
    with partition.parking(waiting):
        partition.admit(record_at(first + 2, key=b"waiting"))
        partition.admit(record_at(first + 3, key=b"busy"))
        assert (2, 4) == (partition.parked, partition.held)

    assert 0 == partition.parked
