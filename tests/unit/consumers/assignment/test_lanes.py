"""Lanes: the order per mentor, what is held, and what may be committed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

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


def started_lanes() -> Lanes:
    """Return lanes whose places start at START."""
    lanes = Lanes()
    for place in PLACES:
        lanes.start(place, START)
    return lanes


class LanesMachine(RuleBasedStateMachine):
    """Admits, finishes, leaves, holds, releases and commits in any order, and compares with a simple model."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes = started_lanes()
        self.next = dict.fromkeys(PLACES, START)
        self.unfinished: dict[Place, set[int]] = {place: set() for place in PLACES}
        self.model: dict[bytes, list[Record]] = {}
        self.left: dict[Place, set[int]] = {place: set() for place in PLACES}
        self.left_keys: set[bytes] = set()
        self.holds: list[tuple[Place, int]] = []
        self.committed = dict.fromkeys(PLACES, START)

    @rule(
        place=st.sampled_from(PLACES),
        key=st.sampled_from([b"a", b"b", b"c", None]),
        gap=st.integers(0, 2),
        size=st.integers(0, 9),
    )
    def admit(self, place: Place, key: bytes | None, gap: int, size: int) -> None:
        """Admit the next record; compaction or a transaction may have left a gap before it."""
        record = record_at(self.next[place] + gap, key=key, place=place, size=size)
        lane = self.model.setdefault(key or b"", [])
        self.next[place] = record.offset + 1
        leaves = self.lanes.leaves(record)
        assert leaves == ((key or b"") in self.left_keys)
        if leaves:
            self.left[place].add(record.offset)
            return
        to_run = self.lanes.admit(record)

        assert to_run == (None if lane else key or b"")
        lane.append(record)
        self.unfinished[place].add(record.offset)

    @precondition(lambda self: any(self.model.values()))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Leave a lane in the log, since the source of its head is held."""
        key = data.draw(st.sampled_from(sorted(key for key, lane in self.model.items() if lane)))
        lane, self.model[key] = self.model[key], []

        assert lane == list(self.lanes.leave(key))
        self.left_keys.add(key)
        for record in lane:
            self.unfinished[record.place].discard(record.offset)
            self.left[record.place].add(record.offset)

    @precondition(lambda self: any(self.model.values()))
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """Finish the head of any lane."""
        key = data.draw(st.sampled_from(sorted(key for key, lane in self.model.items() if lane)))
        record = self.model[key].pop(0)

        assert self.lanes.head(key) is record
        self.lanes.finish(record)
        self.unfinished[record.place].discard(record.offset)

    @precondition(lambda self: any(len(lane) > 1 for lane in self.model.values()))
    @rule(data=st.data())
    def finish_out_of_order(self, data: st.DataObject) -> None:
        """Try to finish a record that is not the head of its lane."""
        lane = data.draw(st.sampled_from([lane for lane in self.model.values() if len(lane) > 1]))
        with pytest.raises(ValueError, match="not the head"):
            self.lanes.finish(lane[-1])

    @rule(place=st.sampled_from(PLACES), length=st.integers(1, 3))
    def hold(self, place: Place, length: int) -> None:
        """Skip an unreadable batch, and hold the commit back until its dead letter is durable."""
        first = self.next[place]
        self.lanes.hold(place, first, first + length)
        self.holds.append((place, first))
        self.next[place] = first + length

    @precondition(lambda self: any(self.unfinished.values()))
    @rule(data=st.data())
    def hold_at_a_record(self, data: st.DataObject) -> None:
        """Begin a range of dead letters at a record that is finished before the range is durable."""
        place = data.draw(st.sampled_from([place for place in PLACES if self.unfinished[place]]))
        first = data.draw(st.sampled_from(sorted(self.unfinished[place])))
        self.lanes.hold(place, first, first + 1)
        self.holds.append((place, first))

    @precondition(lambda self: bool(self.holds))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """Release a batch or a range whose dead letter is durable."""
        held = data.draw(st.sampled_from(self.holds))
        self.holds.remove(held)
        self.lanes.release(*held)

    @rule()
    def commit(self) -> None:
        """Commit all that may be committed."""
        marks = self.lanes.committable()
        self.lanes.committed(marks)

        assert all(mark > self.committed[place] for place, mark in marks.items())
        self.committed.update(marks)
        assert not self.lanes.committable()

    @invariant()
    def never_past_an_unfinished_record(self) -> None:
        """No offset is committed past an unfinished record; all before the first unfinished one may be."""
        for place in PLACES:
            mark = self.lanes.watermark(place)
            left = self.unfinished[place] | self.left[place] | {first for held, first in self.holds if held == place}
            assert min(left, default=self.next[place]) == mark
            assert self.committed[place] <= mark

    @invariant()
    def held_is_what_was_admitted_and_not_finished(self) -> None:
        """Numbers and bytes are those of the records in the lanes and of the holds."""
        assert sum(map(len, self.unfinished.values())) + len(set(self.holds)) == self.lanes.held
        assert sum(r.size for lane in self.model.values() for r in lane) == self.lanes.held_bytes

    @invariant()
    def heads_are_in_order(self) -> None:
        """The head of a lane is the mentor's first unfinished record."""
        for key, lane in self.model.items():
            assert self.lanes.head(key) is (lane[0] if lane else None)

    def teardown(self) -> None:
        """Finish all: then all may be committed."""
        for lane in self.model.values():
            for record in lane:
                self.lanes.finish(record)
        for held in self.holds:
            self.lanes.release(*held)

        assert {place: min(self.left[place], default=self.next[place]) for place in PLACES} == {
            place: self.lanes.watermark(place) for place in PLACES
        }
        assert len(self.left_keys) == self.lanes.left
        assert 0 == self.lanes.held
        assert 0 == self.lanes.held_bytes


LanesMachine.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
TestLanes = LanesMachine.TestCase


def test_a_record_admitted_twice_is_refused() -> None:
    """It would be sent twice."""
    lanes = started_lanes()
    lanes.admit(record_at(START))

    with pytest.raises(ValueError, match="v1-5-10 was admitted before"):
        lanes.admit(record_at(START))


def test_a_record_from_before_the_start_is_refused() -> None:
    """Records before the committed offset are finished."""
    with pytest.raises(ValueError, match="was admitted before"):
        started_lanes().admit(record_at(START - 1))


def test_a_mentors_lane_holds_the_events_of_both_topics() -> None:
    """They have the same key, so they keep one order."""
    lanes = started_lanes()

    assert b"m" == lanes.admit(record_at(START))
    assert lanes.admit(record_at(START, place=CERTIFICATIONS)) is None


def test_the_span_is_counted_from_the_watermark() -> None:
    """One slow mentor limits how far the others are ahead."""
    lanes = started_lanes()
    slow = record_at(START, key=b"slow")
    lanes.admit(slow)
    for offset in range(START + 1, START + 5):
        lanes.admit(record_at(offset))
        lanes.finish(record_at_head(lanes))

    assert 5 == lanes.span(PAUSES)
    assert {} == lanes.committable()
    lanes.finish(slow)
    assert 0 == lanes.span(PAUSES)
    assert {PAUSES: START + 5} == lanes.committable()


def record_at_head(lanes: Lanes) -> Record:
    """Return the head of the lane of `m`."""
    record = lanes.head(b"m")
    assert record is not None
    return record


def test_the_oldest_is_the_first_appended_of_all_lanes() -> None:
    """It is what a person wants to know first of a backlog."""
    lanes = started_lanes()

    assert lanes.oldest() is None
    first = record_at(START, key=b"a")
    for record in (first, record_at(START + 1, key=b"b")):
        lanes.admit(record)
    assert lanes.oldest() is first


def test_a_commit_of_a_place_that_is_not_ours_is_ignored() -> None:
    """The answer to a commit may come after a revocation."""
    lanes = started_lanes()
    lanes.committed({Place("other", 1): 99, PAUSES: START - 5})

    assert {} == lanes.committable()


def test_gaps_between_offsets() -> None:
    """A gap may be before or among the offsets; each is reported with the offset behind it."""
    lanes = started_lanes()
    first = lanes.watermark(PAUSES)

    assert [] == lanes.gaps(PAUSES, [first, first + 1])
    assert [(first, first + 2), (first + 3, first + 9)] == lanes.gaps(PAUSES, [first + 2, first + 9])


def test_missing_offsets_hold_the_commit_back() -> None:
    """They do so until they are released, even when records behind them are finished."""
    lanes = started_lanes()
    first = lanes.watermark(PAUSES)
    lanes.hold(PAUSES, first, first + 5)
    record = record_at(first + 5)
    lanes.admit(record)
    lanes.finish(record)
    assert {} == lanes.committable()

    lanes.release(PAUSES, first)
    assert {PAUSES: first + 6} == lanes.committable()


def test_a_lane_that_only_waits_is_parked() -> None:
    """All of its records are parked, also those admitted later, and none of other lanes."""
    lanes = started_lanes()
    first = lanes.watermark(PAUSES)
    waiting = record_at(first, key=b"waiting")
    lanes.admit(waiting)
    lanes.admit(record_at(first + 1, key=b"busy"))
    with lanes.parking(waiting):
        lanes.admit(record_at(first + 2, key=b"waiting"))
        lanes.admit(record_at(first + 3, key=b"busy"))
        assert 2 == lanes.parked_of(PAUSES)
        assert 4 == lanes.held

    assert 0 == lanes.parked_of(PAUSES)


def test_a_parked_lane_tells_of_what_comes_behind() -> None:
    """Whoever parks it hears of each later record, and of none of another lane."""
    lanes, heard = started_lanes(), list[Record]()
    head, behind, later = (record_at(START + n) for n in range(3))
    lanes.admit(head)
    lanes.admit(behind)
    with lanes.parking(head, on_admitted=heard.append):
        lanes.admit(later)
        lanes.admit(record_at(START + 3, key=b"other"))

    assert [later] == heard
    assert [behind, later] == list(lanes.behind(head))


def admitted_after(seconds: float, lanes: Lanes, offset: int, *, key: bytes = b"m") -> Record:
    """Admit a record that was appended that long after NOW."""
    record = replace(record_at(offset, key=key), appended_at=NOW + timedelta(seconds=seconds))
    lanes.admit(record)
    return record


def test_lag_is_counted_from_what_is_committed() -> None:
    """A record that is finished and not committed still counts: the next owner would read it again."""
    lanes = started_lanes()
    first, _second = admitted_after(0, lanes, START, key=b"a"), admitted_after(5, lanes, START + 1, key=b"b")
    since = [lanes.uncommitted_since()]
    lanes.finish(first)
    since.append(lanes.uncommitted_since())
    lanes.committed(lanes.committable())
    since.append(lanes.uncommitted_since())

    assert [NOW, NOW, NOW + timedelta(seconds=5)] == since


def test_what_is_all_committed_has_no_lag() -> None:
    """Records of the same second share a mark, which ends with the last of them."""
    lanes = started_lanes()
    records = [admitted_after(number / 10, lanes, START + number) for number in range(3)]
    for record in records:
        lanes.finish(record)
    lanes.committed(lanes.committable())

    assert lanes.uncommitted_since() is None


def test_lag_begins_before_anything_is_fetched() -> None:
    """A place with a record at its start is behind since that was appended, and until it is committed."""
    lanes = Lanes()
    lanes.start(PAUSES, START, since=NOW)
    before = lanes.uncommitted_since()
    lanes.finish(admitted_after(0, lanes, START))
    lanes.committed(lanes.committable())

    assert (NOW, None) == (before, lanes.uncommitted_since())


def test_the_longest_lane_is_one_mentors() -> None:
    """It is told how many records of one mentor are held; those that only wait for a contact do not count."""
    lanes = started_lanes()
    many = [record_at(START + number, key=b"many") for number in range(3)]
    for record in (*many, record_at(START + 3, key=b"one")):
        lanes.admit(record)
    longest = lanes.longest
    with lanes.parking(many[0]):
        parked = lanes.longest

    assert (3, 1) == (longest, parked)


def test_what_is_left_in_the_log_counts_as_lag() -> None:
    """It is the oldest unfinished, and not committed; a later record of its lane is left, too."""
    lanes = started_lanes()
    first, other = admitted_after(0, lanes, START), admitted_after(9, lanes, START + 1, key=b"other")
    lanes.leave(b"m")
    later = replace(record_at(START, place=CERTIFICATIONS), appended_at=NOW - timedelta(seconds=5))

    assert lanes.leaves(later)
    lanes.finish(other)
    assert later is lanes.oldest()
    assert NOW - timedelta(seconds=5) == lanes.uncommitted_since()
    assert {} == lanes.committable()
    assert (2, 1) == (lanes.span(PAUSES), lanes.span(CERTIFICATIONS))
    assert first.offset == lanes.watermark(PAUSES)
