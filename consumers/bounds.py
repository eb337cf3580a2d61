"""How much a replica may hold, which places it fetches from next, and its pauses. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from consumers.assignment.lanes import Lanes
from runtime.kafka.records import Place
from schemas.events import EVENT_TOPICS

HELD_APART = 100
"""Records of feedback that are held for each partition. They have room of their own, since events may wait for them."""
PARKED_TIMES = 5
"""Parked lanes may hold this many times `max_records_held` as well: each record costs memory, but no work."""


@dataclass(frozen=True)
class Bounds:
    """The bounds of a replica, over all partitions that it owns."""

    max_records_held: int
    max_bytes_held: int
    max_span: int
    """How many offsets of a partition may lie between the first unfinished record and the newest one admitted."""
    drain_seconds: float
    watchdog_seconds: float
    max_span_left: int = 40_000
    """The same as `max_span` while lanes are left in the log: all that is finished behind them must stay known."""
    poll_ms: int = 200
    poll_records: int = 500
    commit_seconds: float = 0.2
    idle_seconds: float = 0.05
    """How long polling waits for progress when nothing more may be held."""

    def records_to_fetch(self, owned: Collection[Lanes]) -> int:
        """Return how many records the next fetch may bring; zero or less means none."""
        return min(self.room(owned), self._batch(owned), self.poll_records)

    def room(self, owned: Collection[Lanes]) -> int:
        """Return how many more records may be held, over all places. Parked records do not count, up to a limit."""
        parked = self._parked_share(owned)
        return self.max_records_held - sum(_counted(lanes, place, parked) for lanes in owned for place in lanes.places)

    def places_to_fetch(self, owned: Collection[Lanes], admitting: Collection[Lanes]) -> list[Place]:
        """
        Return the places to fetch from, among those of the *admitting* lanes.

        A place, one topic of one partition number, never holds more than its share. A fetch returns first what came
        first, so without shares a long backlog in some places would keep out all others for as long as it lasts.
        """
        if self.records_to_fetch(owned) <= 0 or sum(lanes.held_bytes for lanes in owned) >= self.max_bytes_held:
            return []
        share, parked, batch = self._share(owned), self._parked_share(owned), self._batch(owned)
        return [
            place
            for lanes in admitting
            for place in lanes.places
            if place not in lanes.apart
            and _counted(lanes, place, parked) + batch <= share
            and lanes.span(place) < (self.max_span_left if lanes.left else self.max_span)
        ]

    def apart_to_fetch(self, admitting: Collection[Lanes]) -> list[Place]:
        """Return the places with room of their own to fetch from, however much else is held."""
        return [place for lanes in admitting for place in sorted(lanes.apart) if lanes.held_of(place) < HELD_APART]

    def _batch(self, owned: Collection[Lanes]) -> int:
        """Return how many records a fetch may bring: all of them may be of one place."""
        return max(self._share(owned) // 2, 1)

    def _share(self, owned: Collection[Lanes]) -> int:
        return max(self.max_records_held // _places(owned), 1)

    def _parked_share(self, owned: Collection[Lanes]) -> int:
        return self.max_records_held * PARKED_TIMES // _places(owned)


def _places(owned: Collection[Lanes]) -> int:
    """Return how many places need a share: what is still being opened has none yet, but will."""
    return max(len(owned) * len(EVENT_TOPICS), 1)


def _counted(lanes: Lanes, place: Place, parked: int) -> int:
    """Return how many records of a place count as held, if so many parked ones do not."""
    return 0 if place in lanes.apart else lanes.held_of(place) - min(lanes.parked_of(place), parked)
