"""Write the figures of a bench report into the README: ``python -m tests.bench.readme bench-report.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tests.bench.figures import OURS
from tests.bench.parts import PARTS
from tests.bench.report import shown
from tests.readme import measured, put, row


def section(told: Mapping[str, Any]) -> str:
    """Return the README's tables of *told*, a report as JSON: of each part what something was to be reached of."""
    lines = [f"{measured(told)}, broker, SES and load beside the programs, with `make bench`."]
    for name, rows in told["parts"].items():
        asked = [one for one in rows if one["met"] is not None]
        if asked:
            lines += ["", f"**{PARTS[name].title}**", "", *_table(asked)]
    return "\n".join(lines) + "\n"


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
    report: Annotated[Path, typer.Argument(help="What `make bench` has written.", exists=True, dir_okay=False)],
    readme: Annotated[Path, typer.Option(help="The page to write into.", exists=True)] = Path("README.md"),
) -> None:
    """Put the figures of a report into the README, between its marks."""
    put(readme, "bench", section(json.loads(report.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    typer.run(write)
