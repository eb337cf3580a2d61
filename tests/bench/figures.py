"""What is measured, in one form for tables, JSON and plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

OURS = "this service"
OURS_NEWER = "on Python 3.13"
"""This service, too, on the Python of its image."""

Show = Callable[[str, float], object]
"""Shown the step under way and how much of it is done, from 0 to 1."""


@dataclass(frozen=True)
class Figure:
    """One thing measured once."""

    name: str
    unit: str
    value: float
    who: str = OURS
    more_is_better: bool = False


@dataclass(frozen=True)
class Target:
    """What a figure must reach: a bound of its own, or this many times a peer's."""

    bound: float
    peer: str = ""

    def limit(self, medians: Mapping[str, float]) -> float | None:
        """Return the number to reach, by whose medians; None if the peer to be compared with was not measured."""
        if not self.peer:
            return self.bound
        return self.bound * medians[self.peer] if self.peer in medians else None


@dataclass(frozen=True)
class Row:
    """A figure over all rounds, the peers' beside it."""

    name: str
    unit: str
    more_is_better: bool
    values: dict[str, list[float]]
    """By who: one per round."""
    target: Target | None

    @property
    def medians(self) -> dict[str, float]:
        """Return the median of the rounds, by who."""
        return {who: median(values) for who, values in self.values.items()}

    @property
    def best_peer(self) -> float | None:
        """Return the best peer's median."""
        peers = [value for who, value in self.medians.items() if who not in {OURS, OURS_NEWER}]
        if not peers:
            return None
        return max(peers) if self.more_is_better else min(peers)

    @property
    def ratio(self) -> float | None:
        """Return ours over the best peer's."""
        ours, best = self.medians.get(OURS), self.best_peer
        return ours / best if ours is not None and best else None

    @property
    def limit(self) -> float | None:
        """Return the number to reach, None if nothing is asked."""
        return None if self.target is None else self.target.limit(self.medians)

    @property
    def met(self) -> bool | None:
        """Return whether the median meets the target, None if nothing is asked."""
        limit = self.limit
        ours = self.medians.get(OURS)
        if limit is None or ours is None:
            return None
        return ours >= limit if self.more_is_better else ours <= limit


def rows(rounds: Sequence[Sequence[Figure]], targets: dict[str, Target]) -> list[Row]:
    """Put together what was measured again and again, in the order of the first time."""
    found: dict[str, Row] = {}
    for figure in (figure for one in rounds for figure in one):
        row = found.setdefault(
            figure.name, Row(figure.name, figure.unit, figure.more_is_better, {}, targets.get(figure.name))
        )
        row.values.setdefault(figure.who, []).append(figure.value)
    return list(found.values())
