"""Show the progress of the bench: a bar on a terminal, nothing in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tests.bench.figures import Show


@contextmanager
def bars(console: Console, steps: int) -> Iterator[tuple[Callable[[str], None], Show]]:
    """Yield a callback for the begin of each of the *steps*, and one for the work within a step."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as progress:
        whole, within = progress.add_task("", total=steps, completed=-1), progress.add_task("", total=1.0)

        def begin(step: str) -> None:
            progress.update(whole, description=step, advance=1)

        def show(what: str, done: float) -> None:
            progress.update(within, description=f"  {what}", completed=done)

        yield begin, show
