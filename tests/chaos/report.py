"""What a chaos run says in the end: a table for the terminal and everything as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from tests.bench.report import machine
from tests.chaos.playing import Figure, Result

_SHOWN = ("events acknowledged", "lost", "sent twice", "sent twice, no answer lost", "mentors out of order")


def table(results: Sequence[Result]) -> Table:
    """Give a row per scenario."""
    made = Table(title="What was done, and what became of it", title_justify="left")
    made.add_column("scenario")
    for name in ("events", "lost", "twice", "of these unexplained", "order broken", "standstill s", "took s"):
        made.add_column(name, justify="right")
    made.add_column("")
    for result in results:
        by_name = {figure.name: figure.value for figure in result.figures}
        still = f"{result.findings.standstill:.1f}"
        cells = [f"{by_name[name]:g}" for name in _SHOWN]
        verdict = "ok" if result.passed else "FAILED"
        made.add_row(
            f"{result.scenario.number} {result.scenario.title}", *cells, still, f"{result.seconds:.0f}", verdict
        )
    return made


def as_json(results: Sequence[Result]) -> dict[str, Any]:
    """Give everything that a script may want."""
    return {"machine": machine(), "scenarios": [_scenario(result) for result in results]}


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
    """Give per second what was acknowledged, sent and ended, and what was done when."""
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
