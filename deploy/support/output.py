"""
Print results: tables on a terminal, tabs in a pipe, JSON if asked for.

Some texts come from unknown producers. Characters that control a terminal, or change the reading direction, are
escaped here. The command prints only through this module.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

import typer
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from runtime.terminal import STEERING, escaped

T = TypeVar("T")

_BORDERS = 3
"""What a column of a table takes on a terminal beside its text."""


def readable(content: bytes | None) -> str:
    """Return bytes as text: decoded from UTF-8, or else as hexadecimal digits."""
    if content is None:
        return "(null)"
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"hex {content.hex()}"


def print_text(text: str = "") -> None:
    """Print lines of the result."""
    _print(text)


def print_line(text: str) -> None:
    """Print one line of the result; escape line breaks in it, so that its content cannot imitate a line of ours."""
    typer.echo(escaped(text))


def print_hint(text: str) -> None:
    """Print advice on standard error, on a terminal only."""
    if sys.stdout.isatty():
        _print(text, err=True)


def print_error(text: str) -> None:
    """Print lines on standard error: errors and questions."""
    _print(text, err=True)


def _print(text: str, *, err: bool = False) -> None:
    for one in text.split("\n"):
        typer.echo(escaped(one), err=err)


def print_json(value: Any) -> None:
    """Print one value as one line of JSON."""
    text = json.dumps(value, ensure_ascii=False)
    typer.echo(STEERING.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """
    Print rows: a table on a terminal, else tab-separated lines that start with the column names.

    An id is never broken: a table whose words do not fit the terminal is printed as one line per cell.
    """
    lines = [[escaped(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in (columns, *lines):
            typer.echo("\t".join(row))
        return
    console = Console(highlight=False)
    widths = _widths([columns, *lines], console.width - _BORDERS * len(columns))
    if widths is None:
        _print_stacked(columns, lines)
        return
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, width in zip(columns, widths, strict=True):
        grid.add_column(name, width=width)
    for row in lines:
        grid.add_row(*(Text(cell, overflow="fold") for cell in row))
    console.print(grid)


def _widths(rows: Sequence[Sequence[str]], available: int) -> list[int] | None:
    """Return a width for each column in which no word is broken; None if there is no room for that."""
    columns = list(zip(*rows, strict=True))
    widths = [max(max(map(cell_len, cell.split()), default=0) for cell in column) for column in columns]
    spare = available - sum(widths)
    if spare < 0:
        return None
    for number, column in enumerate(columns):
        more = min(max(map(cell_len, column)) - widths[number], spare)
        widths[number] += more
        spare -= more
    return widths


def _print_stacked(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print one line per cell that is not empty, and an empty line between rows."""
    width = max(map(len, columns))
    for number, row in enumerate(rows):
        if number:
            typer.echo()
        for name, cell in zip(columns, row, strict=True):
            if cell:
                typer.echo(f"{name:<{width}}  {cell}")


def progress(things: Iterable[T], doing: str, *, total: int | None = None) -> Iterator[T]:
    """Iterate over *things* with a progress bar on a terminal; *total* is needed if they have no length."""
    disable = not sys.stderr.isatty()
    yield from track(things, doing, total=total, console=Console(stderr=True), disable=disable, transient=True)


@contextmanager
def status(doing: str) -> Iterator[None]:
    """Show on a terminal what is being done."""
    if not sys.stderr.isatty():
        yield
        return
    with Console(stderr=True).status(doing):
        yield


def age(since: datetime, now: datetime) -> str:
    """Return how long ago *since* was, in its largest unit."""
    span = max(now - since, timedelta())
    for unit, name in ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min")):
        if span >= unit:
            return f"{span // unit} {name}"
    return f"{span // timedelta(seconds=1)} s"
