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
        """Return how many more records may be held. Parked records do not count, up to PARKED_TIMES as many."""
        held = sum(lanes.held for lanes in owned)
        return self.max_records_held - held + min(_parked(owned), self._max_parked)

    def places_to_fetch(self, owned: Collection[Lanes], admitting: Collection[Lanes]) -> list[Place]:
        """
        Return the places to fetch from, among those of the *admitting* lanes.

        A place, one topic of one partition number, never holds more than its share. A fetch returns first what came
        first, so without shares a long backlog in some places would keep out all others for as long as it lasts.
        """
        if self.records_to_fetch(owned) <= 0 or sum(lanes.held_bytes for lanes in owned) >= self.max_bytes_held:
            return []
        share, batch, may_park = self._share(owned), self._batch(owned), _parked(owned) < self._max_parked
        return [
            place
            for lanes in admitting
            for place in lanes.places
            if place not in lanes.apart
            and lanes.held_of(place) - lanes.parked_of(place) * may_park + batch <= share
            and lanes.span(place) < (self.max_span_left if lanes.left else self.max_span)
        ]

    def short_places(self, places: list[Place], owned: Collection[Lanes], admitting: Collection[Lanes]) -> list[Place]:
        """Return those of *places* to fetch that hold less than a fetch may bring; none if that is all of them."""
        batch = self._batch(owned)
        held = {place: lanes.held_of(place) for lanes in admitting for place in lanes.places}
        short = [place for place in places if held[place] < batch]
        return [] if short == places else short

    def apart_to_fetch(self, admitting: Collection[Lanes]) -> list[Place]:
        """Return the places with room of their own to fetch from, however much else is held."""
        return [place for lanes in admitting for place in sorted(lanes.apart) if lanes.held_of(place) < HELD_APART]

    def _batch(self, owned: Collection[Lanes]) -> int:
        """Return how many records a fetch may bring: all of them may be of one place."""
        return max(self._share(owned) // 2, 1)

    def _share(self, owned: Collection[Lanes]) -> int:
        # What is still being opened has no places yet, but will need its share.
        places = len(owned) * len(EVENT_TOPICS)
        return max(self.max_records_held // max(places, 1), 1)

    @property
    def _max_parked(self) -> int:
        return self.max_records_held * PARKED_TIMES


def _parked(owned: Collection[Lanes]) -> int:
    return sum(lanes.parked_of(place) for lanes in owned for place in lanes.places)
