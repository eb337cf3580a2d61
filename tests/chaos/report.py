"""The report of a chaos run: tables for the terminal, and JSON, from which `page` makes a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tests.chaos.scenario import Figure, Result
from tests.machine import machine

_COMPARED = {
    "events": ("events acknowledged",),
    "lost": ("lost",),
    "sent twice": ("sent twice",),
    "of these unexplained": ("sent twice, no answer lost",),
    "order broken": ("mentors out of order",),
    "back at work": ("back at work", "longest standstill", "longest standstill of a partition"),
}
"""By heading: the names of its figure; the first that a scenario has is shown."""

Peers = Mapping[str, Sequence[Result]]
"""By the name of a peer: the results of its scenarios."""


@dataclass(frozen=True)
class Cell:
    """A figure as a table shows it."""

    text: str
    met: bool = True


def compared(figures: Sequence[Figure]) -> dict[str, Cell]:
    """Return the cells by which scenarios are compared, by heading."""
    return {heading: _cell(figures, names) for heading, names in _COMPARED.items()}


def _cell(figures: Sequence[Figure], names: Sequence[str]) -> Cell:
    """Return the worst figure of a name; there may be several, as "back at work after ..." has."""
    for name in names:
        told = [one for one in figures if one.name == name] or [
            one for one in figures if one.name.startswith(f"{name} ")
        ]
        if told:
            bounds = [one for one in figures if one.name.startswith(f"{name}, at most")]
            worst = max(told, key=lambda one: one.value)
            return Cell(shown(worst.value, worst.unit), all(one.met for one in (*told, *bounds)))
    return Cell("-")


def shown(value: float, unit: str = "") -> str:
    """Return a number for a person."""
    number = f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"
    return f"{number} {unit}".rstrip()


def label(result: Result) -> str:
    """Return the name of a scenario in a table."""
    return f"{result.scenario.number} {result.scenario.title}"


def table(results: Sequence[Result], peers: Peers | None = None) -> RenderableType:
    """Return a table with a row for each scenario and, if peers played some, a second one with their results."""
    made = _table("What was done, and what became of it", "took", "verdict")
    for result in results:
        verdict = Text("ok", "green") if result.passed else Text("FAILED", "bold red")
        made.add_row(label(result), *_cells(result), shown(round(result.seconds), "s"), verdict)
    return Group(made, _beside(results, peers)) if peers else made


def _beside(results: Sequence[Result], peers: Peers) -> Table:
    """Return the scenarios that a peer played, ours first in each."""
    made = _table("The same, done to plain peers")
    made.columns[0].header = "scenario, and by whom"
    for of_one in _by_scenario({"ours": results, **peers}).values():
        if of_one.keys() - {"ours"}:
            made.add_row(label(next(iter(of_one.values()))), style="bold")
            for program, result in of_one.items():
                made.add_row(f"  {program}", *_cells(result))
                if result.trouble:
                    made.add_row(Text(f"    could not be played: {result.trouble}", "bold red"))
    return made


def _by_scenario(peers: Peers) -> dict[str, dict[str, Result]]:
    """Return the results by the name of the scenario, and then of the program."""
    found: dict[str, dict[str, Result]] = {}
    for peer, results in peers.items():
        for result in results:
            found.setdefault(result.scenario.name, {})[peer] = result
    return found


def _table(title: str, *more: str) -> Table:
    made = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    made.add_column("scenario")
    for name in ("events", "lost", "sent twice", "order broken", "back at work", *more):
        made.add_column(name, justify="right")
    return made


def _cells(result: Result) -> list[Text]:
    """Return the cells of a row; "sent twice" also has the number without a lost answer."""
    cells = compared(result.figures)
    unexplained = cells.pop("of these unexplained")
    if not unexplained.met:
        cells["sent twice"] = Cell(f"{cells['sent twice'].text} ({unexplained.text} unexplained)", met=False)
    return [Text(cell.text, "" if cell.met else "bold red") for cell in cells.values()]


def as_json(results: Sequence[Result], peers: Peers | None = None) -> dict[str, Any]:
    """Return the whole report, ready for JSON."""
    return {
        "machine": machine(),
        "scenarios": [_scenario(result) for result in results],
        "peers": [{"peer": peer, **_scenario(one)} for peer, theirs in (peers or {}).items() for one in theirs],
    }


def _scenario(result: Result) -> dict[str, Any]:
    return {
        "number": result.scenario.number,
        "name": result.scenario.name,
        "title": result.scenario.title,
        "seed": result.seed,
        "full": result.full,
        "passed": result.passed,
        "trouble": result.trouble,
        "seconds": round(result.seconds, 1),
        "figures": [_figure(figure) for figure in result.figures],
        "statuses": dict(result.findings.statuses),
        "dead_letters": dict(result.findings.letters),
        "timeline": timeline(result),
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return asdict(figure) | {"met": figure.met}


def timeline(result: Result) -> dict[str, Any]:
    """Return the numbers of each second, and the marks."""
    evidence = result.evidence
    began = evidence.began
    moments = {
        "acknowledged": [event.at for event in evidence.acknowledged.values()],
        "mails": [mail.at for mail in evidence.mails],
        "ended": list({record.dispatch_id: record.at for record in evidence.records if record.final}.values()),
    }
    last = max((at for some in moments.values() for at in some), default=began)
    seconds = int(last - began) + 1
    counted = {name: [0] * seconds for name in moments}
    for name, some in moments.items():
        for at in some:
            counted[name][min(max(int(at - began), 0), seconds - 1)] += 1
    marks = [{"at": round(mark.at - began, 1), "kind": mark.kind, "what": mark.what} for mark in evidence.marks]
    memory = {
        name: [[round(at - began), round(mb, 1)] for at, mb in samples] for name, samples in evidence.memory_mb.items()
    }
    return {"seconds": seconds, **counted, "marks": marks, "memory_mb": memory}
