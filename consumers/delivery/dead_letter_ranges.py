"""Decides which dead letters are written singly, and which become one that names a range. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, replace

from runtime.kafka.records import Place
from schemas.cloudevents import NotAnEventReason
from schemas.dead_letters import DeadLetter, DeadLetterReason

ONE_BY_ONE = 300
"""How many dead letters of one reason and partition are written singly, however fast they come."""
ONE_BY_ONE_A_SECOND = 10.0
QUIET_SECONDS = 1.0
"""A range ends when nothing is added to it for this long."""
LONGEST_SECONDS = 30.0
"""A range ends after this time at the latest: until then no offset beyond its first record is committed."""

Kind = tuple[Place, DeadLetterReason | NotAnEventReason]


@dataclass
class Range:
    """Records of one reason and partition that share a dead letter. Valid events may lie between them."""

    sample: DeadLetter
    """The dead letter of the first record."""
    last: int
    records: int
    opened_at: float
    extended_at: float

    @property
    def first(self) -> int:
        """Return the first offset."""
        return self.sample.origin.offset

    def ends_at(self) -> float:
        """Return the monotonic time at which the range ends if nothing more is added."""
        return min(self.extended_at + QUIET_SECONDS, self.opened_at + LONGEST_SECONDS)

    @property
    def letter(self) -> DeadLetter:
        """Return the dead letter that names the range."""
        if self.records == self.sample.records:
            return self.sample
        detail = f"{self.records} records at offsets {self.first} to {self.last}; of the first: {self.sample.detail}"
        return replace(self.sample, detail=detail, last_offset=self.last, records=self.records)


@dataclass
class _Allowed:
    left: float
    at: float


class Ranges:
    """
    The dead letters of one assignment of a partition number.

    A kind is a place and a reason. A number of letters of each kind is written singly, and some more each second. The
    next one opens a range, which takes all letters of its kind until it ends.
    """

    def __init__(self) -> None:
        self._allowed: dict[Kind, _Allowed] = {}
        self._open: dict[Kind, Range] = {}

    def open_range(self, kind: Kind) -> Range | None:
        """Return the open range of a kind."""
        return self._open.get(kind)

    def may_write(self, kind: Kind, now: float) -> bool:
        """Return whether a dead letter may be written singly; if so, count it."""
        if kind in self._open:
            return False
        allowed = self._allowed.setdefault(kind, _Allowed(ONE_BY_ONE, now))
        allowed.left = min(ONE_BY_ONE, allowed.left + (now - allowed.at) * ONE_BY_ONE_A_SECOND)
        allowed.at = now
        if allowed.left < 1:
            return False
        allowed.left -= 1
        return True

    def add(self, kind: Kind, letter: DeadLetter, now: float) -> Range:
        """Add a dead letter to the open range of its kind; open one if there is none."""
        found = self._open.get(kind)
        if found is None:
            found = self._open[kind] = Range(letter, letter.last, letter.records, now, now)
            return found
        if letter.origin.offset < found.first:
            found.sample = letter
        found.last = max(found.last, letter.last)
        found.records += letter.records
        found.extended_at = now
        return found

    def close(self, kind: Kind) -> Range:
        """Return the open range of a kind and end it; later letters open another."""
        return self._open.pop(kind)
