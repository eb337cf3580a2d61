"""A chaos run as one self-contained HTML page, from the JSON of `report.as_json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tests.chaos.charts import Chart, memory_chart, timeline_chart
from tests.chaos.report import Cell, compared, shown
from tests.chaos.scenario import Figure

_TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class _Told:
    """A scenario as the page shows it."""

    facts: Mapping[str, Any]
    by: str
    figures: Sequence[Figure]
    cells: Mapping[str, Cell]
    timeline: Chart
    memory: Chart | None

    @property
    def name(self) -> str:
        return f"{self.facts['number']} {self.facts['title']}"

    @property
    def repeat(self) -> str:
        """Return the command that repeats the scenario."""
        name, seed = self.facts["name"], self.facts["seed"]
        if self.facts["full"]:
            return f"make chaos SCENARIO={name} SEED={seed}"
        return f".venv/bin/python -m tests.chaos {name} --seed {seed} --short"

    @property
    def unmet(self) -> list[str]:
        return [figure.name for figure in self.figures if not figure.met]


def page(report: Mapping[str, Any], *, at: datetime) -> str:
    """Return the page of a report; *at* is when it was made."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    told = [_told(facts, "ours") for facts in report["scenarios"]]
    peers = [_told(facts, facts["peer"]) for facts in report.get("peers", ())]
    return environment.get_template(_TEMPLATE).render(
        at=at,
        machine=report["machine"],
        seeds=sorted({one.facts["seed"] for one in told}),
        compared=list(compared(())),
        scenarios=told,
        peers=peers,
        beside=_beside(told, peers),
    )


def _told(facts: Mapping[str, Any], by: str) -> _Told:
    figures = [Figure(**{name: value for name, value in one.items() if name != "met"}) for one in facts["figures"]]
    timeline = facts["timeline"]
    drawn = timeline_chart(timeline, ends_known=by == "ours")
    return _Told(facts, by, figures, compared(figures), drawn, memory_chart(timeline))


def _beside(ours: Sequence[_Told], peers: Sequence[_Told]) -> list[list[_Told]]:
    """Return, for each scenario that a peer played, all programs that played it, ours first."""
    names = dict.fromkeys(told.facts["name"] for told in peers)
    return [[told for told in (*ours, *peers) if told.facts["name"] == name] for name in names]
