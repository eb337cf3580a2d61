"""Measured figures, in one form for tables, JSON and plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

OURS = "this service"
OURS_NEWER = "on Python 3.13"
"""This service, on the Python of its image."""

Show = Callable[[str, float], object]
"""Shows the current step and how much of it is done, from 0 to 1."""


@dataclass(frozen=True)
class Figure:
    """One measured value."""

    name: str
    unit: str
    value: float
    who: str = OURS
    more_is_better: bool = False


@dataclass(frozen=True)
class Target:
    """What a figure must reach: a fixed bound, or a multiple of a peer's figure."""

    bound: float
    peer: str = ""

    def limit(self, medians: Mapping[str, float]) -> float | None:
        """Return the number to reach, given all medians; None if the peer was not measured."""
        if not self.peer:
            return self.bound
        return self.bound * medians[self.peer] if self.peer in medians else None


@dataclass(frozen=True)
class Row:
    """A figure over all rounds, with the peers' beside it."""

    name: str
    unit: str
    more_is_better: bool
    values: dict[str, list[float]]
    """By program: one value per round."""
    target: Target | None

    @property
    def medians(self) -> dict[str, float]:
        """Return the median of the rounds, by program."""
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
        """Return our median divided by the best peer's."""
        ours, best = self.medians.get(OURS), self.best_peer
        return ours / best if ours is not None and best else None

    @property
    def limit(self) -> float | None:
        """Return the number to reach; None if there is no target."""
        return None if self.target is None else self.target.limit(self.medians)

    @property
    def met(self) -> bool | None:
        """Return whether the median meets the target; None if there is no target."""
        limit = self.limit
        ours = self.medians.get(OURS)
        if limit is None or ours is None:
            return None
        return ours >= limit if self.more_is_better else ours <= limit


def rows(rounds: Sequence[Sequence[Figure]], targets: dict[str, Target]) -> list[Row]:
    """Return a row for each figure of all rounds, in the order of the first round."""
    found: dict[str, Row] = {}
    for figure in (figure for one in rounds for figure in one):
        row = found.setdefault(
            figure.name, Row(figure.name, figure.unit, figure.more_is_better, {}, targets.get(figure.name))
        )
        row.values.setdefault(figure.who, []).append(figure.value)
    return list(found.values())
