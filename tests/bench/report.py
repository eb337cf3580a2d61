"""What the bench says in the end: figures of all rounds, beside the peer's, and the machine they were measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.table import Table

_OTHERS_MATTER = 0.15  # of one core


@dataclass(frozen=True)
class Figure:
    """One thing measured, and the same of the plain peer where it has it."""

    name: str
    unit: str
    value: float
    peer: float | None = None


def machine() -> dict[str, Any]:
    """Say on what it is measured."""
    return {
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def load_average() -> list[float]:
    """Give the load of the last 1, 5 and 15 minutes."""
    return [round(load, 2) for load in os.getloadavg()]


@dataclass(frozen=True)
class Report:
    """All that was measured in one run."""

    machine: dict[str, Any]
    settings: dict[str, Any]
    load_before: list[float]
    load_after: list[float]
    rounds: Sequence[Sequence[Figure]]

    @property
    def others(self) -> float:
        """Give the most that other processes took of this machine in any measurement, in cores."""
        shares = [figure for figures in self.rounds for figure in figures if figure.name.startswith("others")]
        return max((max(figure.value, figure.peer or 0.0) for figure in shares), default=0.0)

    def as_json(self) -> dict[str, Any]:
        """Give it as JSON would have it."""
        return asdict(self) | {"others_cores": self.others, "loaded": self.others > _OTHERS_MATTER}

    def table(self) -> Table:
        """Give a line per figure: the median, its range over several rounds, the peer's, and the ratio."""
        table = Table(title="Pause Notification Service: measured", title_justify="left")
        table.add_column("figure", no_wrap=True)
        for column in ("measured", "range", "plain peer", "ratio"):
            table.add_column(column, justify="right")
        for figures in zip(*self.rounds, strict=True):
            table.add_row(*_row(figures))
        return table

    def about(self) -> str:
        """Say in two lines what it was measured on, and whether others disturbed it."""
        where, before, after = self.machine, self.load_before, self.load_after
        busy = (
            f"LOADED: other processes took up to {self.others:.2f} cores; repeat when it is quiet"
            if self.others > _OTHERS_MATTER
            else "quiet"
        )
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        return (
            f"{where['usable_cores']} cores, Python {where['python']}, {where['system']}; {settings}\n"
            f"load average {before[0]} before, {after[0]} after; machine {busy}"
        )


def _row(figures: Sequence[Figure]) -> tuple[str, ...]:
    first, values = figures[0], [figure.value for figure in figures]
    peers = [figure.peer for figure in figures if figure.peer is not None]
    spread = f"{_shown(min(values))} to {_shown(max(values))}" if len(values) > 1 else ""
    ratio = f"{median(values) / median(peers):.2f}" if peers and median(peers) else ""
    peer = _shown(median(peers)) if peers else ""
    return first.name, f"{_shown(median(values))} {first.unit}", spread, peer, ratio


def _shown(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
