"""The lanes of one assignment: what is unfinished, and what may be committed. No I/O, no clock."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice

from runtime.kafka.records import Place, Record

_MARK_EVERY = timedelta(seconds=1)


def _ignore(_record: Record) -> None:
    """Do nothing."""


class Lanes:
    """
    The records of one partition number (of all topics) that are admitted and not finished.

    A lane is one mentor's queue, or that of the feedback about one dispatch: records with the same key are finished in
    order, lanes independently. Each assignment has an object of its own, so what finishes after a revocation changes
    nothing in the next assignment.
    """

    def __init__(self) -> None:
        self.held_bytes = 0
        self._lanes: dict[bytes, deque[Record]] = {}
        # Records of a place are admitted in order, so the first key is the first unfinished offset.
        self._unfinished: dict[Place, dict[int, None]] = {}
        self._holds: dict[Place, Counter[int]] = {}
        self._next: dict[Place, int] = {}
        self._committed: dict[Place, int] = {}
        self._marks: dict[Place, deque[tuple[int, datetime]]] = {}
        """Offsets not committed and when they were appended, one a second: what lag is counted from."""
        self._apart: set[Place] = set()
        self._left: set[int] = set()
        """The hashes of the keys of lanes left in the log: one more lane is left for each two that are equal."""
        self._left_from: dict[Place, Record] = {}
        """The first record of each place that was left in the log: the commit is held back at it."""
        self._parked: dict[bytes, Callable[[Record], None]] = {}
        self._parked_of: Counter[Place] = Counter()

    @property
    def held(self) -> int:
        """Return how many records are admitted and not finished, and how many dead letters hold the commit back."""
        return sum(self.held_of(place) for place in self._unfinished if place not in self._apart)

    def held_of(self, place: Place) -> int:
        """Return the same for one place."""
        return len(self._unfinished[place]) + len(self._holds[place])

    def parked_of(self, place: Place) -> int:
        """Return how many of them are parked: they only wait, and must not keep other records out."""
        return self._parked_of[place]

    @property
    def places(self) -> tuple[Place, ...]:
        """Return the places that were started."""
        return tuple(self._unfinished)

    @property
    def apart(self) -> frozenset[Place]:
        """Return the places whose records do not count as held: they have a bound of their own."""
        return frozenset(self._apart)

    def start(self, place: Place, offset: int, *, apart: bool = False, since: datetime | None = None) -> None:
        """
        Set the offset at which a place starts: all records before it are finished and committed.

        *since* is when the record at that offset was appended, if there is one.
        """
        if apart:
            self._apart.add(place)
        self._unfinished[place] = {}
        self._holds[place] = Counter()
        self._next[place] = offset
        self._committed[place] = offset
        self._marks[place] = deque() if since is None else deque([(offset, since)])

    def admit(self, record: Record) -> bytes | None:
        """
        Append a record to its lane; return the lane's key if the lane was idle and must be run now.

        Raises:
            ValueError: if the record does not follow those admitted before.
        """
        if record.offset < self._next[record.place]:
            raise ValueError(f"{record.position} was admitted before")
        self._unfinished[record.place][record.offset] = None
        self._next[record.place] = record.offset + 1
        self._mark(record)
        self.held_bytes += record.size
        key = record.key or b""
        lane = self._lanes.setdefault(key, deque())
        lane.append(record)
        if (on_admitted := self._parked.get(key)) is not None:
            self._parked_of[record.place] += 1
            on_admitted(record)
        return key if len(lane) == 1 else None

    def _mark(self, record: Record) -> None:
        marks = self._marks[record.place]
        if not marks or record.appended_at - marks[-1][1] >= _MARK_EVERY:
            marks.append((record.offset, record.appended_at))

    def leaves(self, record: Record) -> bool:
        """Return whether a record's lane is left in the log; if so, count the record as left there, too."""
        if hash(record.key or b"") not in self._left:
            return False
        self._next[record.place] = record.offset + 1
        self._mark(record)
        self._note_left(record)
        return True

    def leave(self, key: bytes) -> Iterable[Record]:
        """
        Leave a lane in the log, and return the records that are forgotten.

        It takes no room then, however long it is. Its later records are left, too, since a mentor's events stay in
        order. The commit is held back until the partition is opened again.
        """
        self._left.add(hash(key))
        left = self._lanes.pop(key)
        for record in left:
            del self._unfinished[record.place][record.offset]
            self.held_bytes -= record.size
            self._note_left(record)
        return left

    def _note_left(self, record: Record) -> None:
        first = self._left_from.setdefault(record.place, record)
        if record.offset < first.offset:
            self._left_from[record.place] = record

    @property
    def left(self) -> int:
        """Return how many lanes are left in the log."""
        return len(self._left)

    def gaps(self, place: Place, offsets: Iterable[int]) -> list[tuple[int, int]]:
        """Return the gaps before and among the next *offsets*, each as its first offset and the one behind it."""
        gaps, expected = [], self._next[place]
        for offset in offsets:
            if offset > expected:
                gaps.append((expected, offset))
            expected = offset + 1
        return gaps

    def hold(self, place: Place, first: int, next_offset: int | None = None) -> None:
        """Hold the commit back at *first* until it is released; offsets before *next_offset* count as admitted."""
        self._holds[place][first] += 1
        if next_offset is not None:
            self._next[place] = max(self._next[place], next_offset)

    def release(self, place: Place, first: int) -> None:
        """Undo one `hold` at *first*."""
        holds = self._holds[place]
        holds[first] -= 1
        if not holds[first]:
            del holds[first]

    def head(self, key: bytes) -> Record | None:
        """Return the record that a lane must process next, or None if it is idle."""
        lane = self._lanes.get(key)
        return lane[0] if lane else None

    def behind(self, record: Record) -> Iterator[Record]:
        """Return the records of a lane that wait behind *record*, its head."""
        return islice(self._lanes[record.key or b""], 1, None)

    def finish(self, record: Record) -> None:
        """
        Remove a finished record, which must be the head of its lane.

        Raises:
            ValueError: if it is not, since that would break the mentor's order.
        """
        key = record.key or b""
        lane = self._lanes.get(key)
        if not lane or lane[0] is not record:
            raise ValueError(f"{record.position} is not the head of its lane")
        lane.popleft()
        if not lane:
            del self._lanes[key]
        del self._unfinished[record.place][record.offset]
        self.held_bytes -= record.size

    @contextmanager
    def parking(self, record: Record, *, on_admitted: Callable[[Record], None] = _ignore) -> Iterator[None]:
        """Count all records of a lane as parked; *record* is its head. Call *on_admitted* for each later one."""
        key = record.key or b""
        self._parked[key] = on_admitted
        self._parked_of.update(record.place for record in self._lanes[key])
        try:
            yield
        finally:
            del self._parked[key]
            self._parked_of.subtract(record.place for record in self._lanes[key])

    def watermark(self, place: Place) -> int:
        """Return the first offset that is unfinished or held back, or the next one when there is none."""
        left = self._left_from.get(place)
        kept = [] if left is None else [left.offset]
        unfinished = next(iter(self._unfinished[place]), self._next[place])
        return min(unfinished, *self._holds[place], *kept, self._next[place])

    def admitted_to(self, place: Place) -> int:
        """Return the offset behind the last record admitted."""
        return self._next[place]

    def unfinished(self, place: Place) -> Iterable[int]:
        """Return the offsets of the records of a place that are admitted and not finished, lowest first."""
        return self._unfinished[place].keys()

    def span(self, place: Place) -> int:
        """Return how many offsets lie between the watermark and the newest record admitted."""
        return self._next[place] - self.watermark(place)

    def oldest(self) -> Record | None:
        """Return the unfinished record that was appended first."""
        heads = [*(lane[0] for lane in self._lanes.values()), *self._left_from.values()]
        return min(heads, key=lambda record: record.appended_at, default=None)

    @property
    def longest(self) -> int:
        """Return how many records the longest lane holds, of those that are not parked."""
        return max((len(lane) for key, lane in self._lanes.items() if key not in self._parked), default=0)

    def uncommitted_since(self) -> datetime | None:
        """Return when the oldest record that is not committed was appended, to the second; None if there is none."""
        return min((marks[0][1] for marks in self._marks.values() if marks), default=None)

    def committable(self) -> dict[Place, int]:
        """Return the watermarks that are higher than what was committed."""
        watermarks = {place: self.watermark(place) for place in self._unfinished}
        return {place: mark for place, mark in watermarks.items() if mark > self._committed[place]}

    def committed(self, offsets: dict[Place, int]) -> None:
        """Note what was committed."""
        for place, offset in offsets.items():
            if place in self._committed:
                self._committed[place] = max(self._committed[place], offset)
                self._drop_marks(place)

    def _drop_marks(self, place: Place) -> None:
        """Forget the marks of what is committed. The last one stands for all records until the next one."""
        marks, committed = self._marks[place], self._committed[place]
        while len(marks) > 1 and marks[1][0] <= committed:
            marks.popleft()
        if committed >= self._next[place]:
            marks.clear()
