"""The report of the bench: tables with medians, range, peers and targets, and the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from tests.bench.figures import OURS, Figure, Row, rows
from tests.bench.targets import TARGETS
from tests.machine import machine

_OTHERS_MATTER = 0.15  # of one core
_OTHERS = "cores used: others"


def load_average() -> list[float]:
    """Return the load of the last 1, 5 and 15 minutes."""
    return [round(load, 2) for load in os.getloadavg()]


@dataclass
class Measured:
    """One part in all its rounds."""

    name: str
    title: str
    about: str
    rounds: list[list[Figure]] = field(default_factory=list)

    @property
    def rows(self) -> list[Row]:
        """Return a row for each figure."""
        return rows(self.rounds, dict(TARGETS.get(self.name, {})))

    def table(self) -> Table:
        """Return a table with a line for each figure: the median, its range, the peers, the ratio, the target."""
        found = self.rows
        peers = list(dict.fromkeys(who for row in found for who in row.values if who != OURS))
        title = f"{self.title} ({len(self.rounds)} round{'s' if len(self.rounds) > 1 else ''})"
        table = Table(title=title, title_justify="left")
        table.add_column("", no_wrap=True)
        for column in (OURS, "range", *peers, *(["ratio to best"] if peers else []), "target", "met"):
            table.add_column(column, justify="right")
        for row in found:
            table.add_row(*_cells(row, peers))
        return table


def _cells(row: Row, peers: Sequence[str]) -> Iterator[str]:
    ours, medians = row.values.get(OURS, []), row.medians
    yield f"{row.name}, {row.unit}" if row.unit else row.name
    yield shown(medians[OURS]) if ours else ""
    yield f"{shown(min(ours))} to {shown(max(ours))}" if len(ours) > 1 else ""
    yield from (shown(medians[who]) if who in medians else "" for who in peers)
    if peers:
        yield (
            f"{row.ratio:.2f}" if row.ratio is not None and row.unit else ""
        )  # for cores and counts a ratio means nothing
    yield "" if row.limit is None else f"{'≥' if row.more_is_better else '≤'} {shown(row.limit)}"
    yield {True: "yes", False: "NO", None: ""}[row.met]


def shown(value: float) -> str:
    """Return a number with its significant digits."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


@dataclass
class Report:
    """Everything that was measured in one run."""

    settings: Mapping[str, Any]
    parts: list[Measured]
    machine: Mapping[str, Any] = field(default_factory=machine)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    load_before: list[float] = field(default_factory=load_average)
    load_after: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def others(self) -> float | None:
        """Return the most cores that other processes took while a backlog was drained; None if none was."""
        figures = (figure for part in self.parts for one in part.rounds for figure in one)
        return max((figure.value for figure in figures if figure.name == _OTHERS), default=None)

    def as_json(self) -> dict[str, Any]:
        """Return the report, ready for JSON."""
        return {
            "at": self.at.isoformat(timespec="seconds"),
            "machine": self.machine,
            "settings": self.settings,
            "seconds": round(self.seconds),
            "load_before": self.load_before,
            "load_after": self.load_after,
            "others_cores": self.others,
            "loaded": None if self.others is None else self.others > _OTHERS_MATTER,
            "parts": {part.name: [_row_as_json(row) for row in part.rows] for part in self.parts},
        }

    def about(self) -> str:
        """Return a few lines about the machine, and whether other processes disturbed the run."""
        where = self.machine
        busy = "quiet"
        if self.others is None:
            busy = "not watched, since no backlog was drained"
        elif self.others > _OTHERS_MATTER:
            busy = f"LOADED: other processes took up to {self.others:.2f} cores; repeat when it is quiet"
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        load = f"load average {self.load_before[0]} before, {self.load_after[0]} after"
        return (
            f"{where['cores']} cores, Python {where['python']}, {where['system']}; {settings}\n"
            f"{self.seconds:.0f} s; {load}; machine {busy}"
        )


def _row_as_json(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "unit": row.unit,
        "medians": row.medians,
        "values": row.values,
        "ratio_to_best_peer": row.ratio,
        "target": row.limit,
        "more_is_better": row.more_is_better,
        "met": row.met,
    }
