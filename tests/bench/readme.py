"""Write a bench report into docs/performance.md and the README: ``python -m tests.bench.readme bench-report.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tests.bench.figures import OURS
from tests.bench.measurements import MEASUREMENTS
from tests.bench.report import shown
from tests.readme import measured, put, row

_PEER = "FastStream"


def section(report: Mapping[str, Any]) -> str:
    """Return the tables of *report*, read from JSON: of each part the figures that have a target."""
    lines = [f"{measured(report)}, broker, SES and load beside the programs, with `make bench`."]
    for name, rows in report["parts"].items():
        with_target = [one for one in rows if one["met"] is not None]
        if with_target:
            lines += ["", f"**{MEASUREMENTS[name].title}**", "", *_table(with_target)]
    return "\n".join(lines) + "\n"


def headline(report: Mapping[str, Any]) -> str | None:
    """Return the README's two lines, or None if *report* lacks one of their figures."""
    medians = {(part, one["name"]): one["medians"] for part, rows in report["parts"].items() for one in rows}
    try:
        events, p50, p99 = (
            medians[key]
            for key in (("backlog", "events"), ("rest", "p50 at 50/s over SES"), ("rest", "p99 at 50/s over SES"))
        )
        ours, peer = events[OURS], events[_PEER]
    except KeyError:
        return None
    return (
        f"- Backlog, two e-mails an event, one replica: **{shown(ours)} events/s**; {_PEER} with the same broker "
        f"and SES: {shown(peer)}.\n"
        f"- REST, 50 calls a second, from call to outcome, SES's own time left out: **p50 {shown(p50[OURS])} ms, "
        f"p99 {shown(p99[OURS])} ms**.\n"
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    peers = list(dict.fromkeys(who for one in rows for who in one["medians"] if who != OURS))
    headings = ["", OURS, "range", *peers, "to reach", ""]
    yield row(*headings)
    yield row("---", *["---:"] * (len(headings) - 1))
    for one in rows:
        yield row(*_cells(one, peers))


def _cells(one: Mapping[str, Any], peers: Sequence[str]) -> Iterator[str]:
    medians, ours = one["medians"], one["values"][OURS]
    yield f"{one['name']}, {one['unit']}" if one["unit"] else one["name"]
    yield shown(medians[OURS])
    yield f"{shown(min(ours))} to {shown(max(ours))}" if len(ours) > 1 else ""
    yield from (shown(medians[who]) if who in medians else "" for who in peers)
    yield f"{'≥' if one['more_is_better'] else '≤'} {shown(one['target'])}"
    yield "" if one["met"] else "**missed**"


def write(
    report: Annotated[Path, typer.Argument(help="The report of `make bench`.", exists=True, dir_okay=False)],
    page: Annotated[Path, typer.Option(help="The page of the tables.", exists=True)] = Path("docs/performance.md"),
    readme: Annotated[Path, typer.Option(help="The page of the headline figures.", exists=True)] = Path("README.md"),
) -> None:
    """Put the figures of a report between the marks of both pages."""
    found = json.loads(report.read_text(encoding="utf-8"))
    put(page, "bench", section(found))
    if (lines := headline(found)) is not None:
        put(readme, "bench headline", lines)


if __name__ == "__main__":
    typer.run(write)
