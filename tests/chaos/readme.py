"""Write the figures of a chaos report into the README: ``python -m tests.chaos.readme chaos-report.json``."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from tests.chaos.playing import Figure
from tests.chaos.report import compared
from tests.readme import measured, put, row

_HEADINGS = ("events", "lost", "sent twice", "order broken", "back at work")


def section(told: dict[str, Any]) -> str:
    """Return the README's tables of what *told*, a report as JSON, has seen."""
    seeds = ", ".join(sorted({str(one["seed"]) for one in told["scenarios"]}))
    lines = [
        f"{measured(told)}, brokers and load beside the programs, with `make chaos SEED={seeds}`.",
        "",
        *_table("scenario", [(f"{one['number']} {one['title']}", one["figures"]) for one in told["scenarios"]]),
    ]
    rows = _beside(told)
    if rows:
        lines += [
            "",
            "The same load and the same judge over two plain peers:",
            "",
            *_table("what was done, to whom", rows),
        ]
    return "\n".join(lines) + "\n"


def _beside(told: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    rows: list[tuple[str, list[dict[str, Any]]]] = []
    for one in told["scenarios"]:
        theirs = [peer for peer in told.get("peers", ()) if peer["name"] == one["name"]]
        if theirs:
            rows.append((f"{one['title']}: this service", one["figures"]))
            rows += [(f"{one['title']}: {peer['peer']}", peer["figures"]) for peer in theirs]
    return rows


def _table(first: str, rows: list[tuple[str, list[dict[str, Any]]]]) -> list[str]:
    head = [row(first, *_HEADINGS), row("---", *["---:"] * len(_HEADINGS))]
    return [*head, *(row(name, *_cells(figures)) for name, figures in rows)]


def _cells(figures: list[dict[str, Any]]) -> list[str]:
    known = {field.name for field in fields(Figure)}
    cells = compared([Figure(**{name: value for name, value in one.items() if name in known}) for one in figures])
    return [cells[heading].text for heading in _HEADINGS]


def write(
    report: Annotated[Path, typer.Argument(help="What `make chaos` has written.", exists=True, dir_okay=False)],
    readme: Annotated[Path, typer.Option(help="The page to write into.", exists=True)] = Path("README.md"),
) -> None:
    """Put the figures of a report into the README, between its marks; one of a run that had trouble is refused."""
    told = json.loads(report.read_text(encoding="utf-8"))
    troubled = [one["name"] for one in [*told["scenarios"], *told.get("peers", ())] if one["trouble"]]
    if troubled:
        raise typer.BadParameter(f"{report}: could not be played to the end: {', '.join(troubled)}")
    put(readme, "chaos", section(told))


if __name__ == "__main__":
    typer.run(write)
