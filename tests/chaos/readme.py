"""Write a chaos report into docs/reliability.md and the README: ``python -m tests.chaos.readme chaos-report.json``."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from tests.chaos.report import Cell, compared
from tests.chaos.scenario import Figure
from tests.readme import measured, put, row

_HEADINGS = ("events", "lost", "sent twice", "order broken", "back at work")
_HEADLINE = "sigkill"


def section(report: dict[str, Any]) -> str:
    """Return the tables of *report*, read from JSON."""
    seeds = ", ".join(sorted({str(one["seed"]) for one in report["scenarios"]}))
    lines = [
        f"{measured(report)}, brokers and load beside the programs, with `make chaos SEED={seeds}`.",
        "",
        *_table("scenario", [(f"{one['number']} {one['title']}", one["figures"]) for one in report["scenarios"]]),
    ]
    rows = _beside(report)
    if rows:
        lines += [
            "",
            "The same load and the same checker over two plain peers:",
            "",
            *_table("scenario, and program", rows),
        ]
    return "\n".join(lines) + "\n"


def headline(report: dict[str, Any]) -> str | None:
    """Return the README's line, or None if *report* lacks its scenario."""
    for one in report["scenarios"]:
        if one["name"] == _HEADLINE:
            events, lost, twice = (_compared(one["figures"])[name].text for name in ("events", "lost", "sent twice"))
            return f"- {one['title']}: {events} events, **{lost} lost**, {twice} sent twice.\n"
    return None


def _beside(report: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    rows: list[tuple[str, list[dict[str, Any]]]] = []
    for one in report["scenarios"]:
        theirs = [peer for peer in report.get("peers", ()) if peer["name"] == one["name"]]
        if theirs:
            rows.append((f"{one['title']}: this service", one["figures"]))
            rows += [(f"{one['title']}: {peer['peer']}", peer["figures"]) for peer in theirs]
    return rows


def _table(first: str, rows: list[tuple[str, list[dict[str, Any]]]]) -> list[str]:
    head = [row(first, *_HEADINGS), row("---", *["---:"] * len(_HEADINGS))]
    return [*head, *(row(name, *_cells(figures)) for name, figures in rows)]


def _cells(figures: list[dict[str, Any]]) -> list[str]:
    cells = _compared(figures)
    return [cells[heading].text for heading in _HEADINGS]


def _compared(figures: list[dict[str, Any]]) -> dict[str, Cell]:
    known = {field.name for field in fields(Figure)}
    return compared([Figure(**{name: value for name, value in one.items() if name in known}) for one in figures])


def write(
    report: Annotated[Path, typer.Argument(help="The report of `make chaos`.", exists=True, dir_okay=False)],
    page: Annotated[Path, typer.Option(help="The page of the tables.", exists=True)] = Path("docs/reliability.md"),
    readme: Annotated[Path, typer.Option(help="The page of the headline figure.", exists=True)] = Path("README.md"),
) -> None:
    """Put the figures of a report between the marks of both pages; refuse a report of a run that had trouble."""
    found = json.loads(report.read_text(encoding="utf-8"))
    troubled = [one["name"] for one in [*found["scenarios"], *found.get("peers", ())] if one["trouble"]]
    if troubled:
        raise typer.BadParameter(f"{report}: could not be played to the end: {', '.join(troubled)}")
    put(page, "chaos", section(found))
    if (line := headline(found)) is not None:
        put(readme, "chaos headline", line)


if __name__ == "__main__":
    typer.run(write)
