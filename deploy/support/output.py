"""
What people and scripts see: tables on a terminal, tabs in a pipe, JSON where asked.

Much of it was written by strangers. Whatever could steer a terminal, or turn the order of what is read around, is
escaped here; nothing in this package prints in another way.
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
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from runtime.terminal import STEERING, escaped

T = TypeVar("T")


def shown(content: bytes | None) -> str:
    """Return bytes as a person reads them: the text that they are, or else their hexadecimal digits."""
    if content is None:
        return "(null)"
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"hex {content.hex()}"


def say(text: str = "") -> None:
    """Print lines of the result."""
    _print(text)


def line(text: str) -> None:
    """Print one line of the result; an end of a line within it is escaped, since it is a stranger's."""
    typer.echo(escaped(text))


def hint(text: str) -> None:
    """Tell a person what comes next; scripts are spared."""
    if sys.stdout.isatty():
        _print(text, err=True)


def tell(text: str) -> None:
    """Print lines on standard error: what went wrong, or what is asked."""
    _print(text, err=True)


def _print(text: str, *, err: bool = False) -> None:
    for one in text.split("\n"):
        typer.echo(escaped(one), err=err)


def json_line(value: Any) -> None:
    """Print one value as a line of JSON."""
    written = json.dumps(value, ensure_ascii=False)
    typer.echo(STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", written))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows: a table on a terminal, else tab-separated with the columns' names first."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            typer.echo("\t".join(map(escaped, row)))
        return
    drawn = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        drawn.add_row(*(Text(escaped(cell), overflow="fold") for cell in row))
    Console(highlight=False).print(drawn)


def progress(things: Iterable[T], doing: str, *, total: int | None = None) -> Iterator[T]:
    """Go through *things*, with a bar on a terminal; *total* says how many there are, if they cannot be counted."""
    disable = not sys.stderr.isatty()
    yield from track(things, doing, total=total, console=Console(stderr=True), disable=disable, transient=True)


@contextmanager
def status(doing: str) -> Iterator[None]:
    """Show a person what takes its time."""
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
