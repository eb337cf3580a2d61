"""What people and scripts see: tables on a terminal, tabs in a pipe, JSON where asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import typer
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

T = TypeVar("T")


def say(line: str = "") -> None:
    """Print a line of the result."""
    typer.echo(line)


def hint(line: str) -> None:
    """Tell a person what comes next; scripts are spared."""
    if sys.stdout.isatty():
        typer.echo(line, err=True)


def json_line(value: Any) -> None:
    """Print one value as a line of JSON."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows: a table on a terminal, else tab-separated with the columns' names first."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            typer.echo("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    drawn = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        drawn.add_row(*(Text(cell, overflow="fold") for cell in row))
    Console(highlight=False).print(drawn)


def progress(things: Sequence[T], doing: str) -> Iterator[T]:
    """Go through *things*, with a bar on a terminal."""
    yield from track(things, doing, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)


def age(since: datetime, now: datetime) -> str:
    """Say how long ago *since* was, in its largest unit."""
    span = max(now - since, timedelta())
    for unit, name in ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min")):
        if span >= unit:
            return f"{span // unit} {name}"
    return f"{span // timedelta(seconds=1)} s"
