"""Report the progress of the stack: a spinner on a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class OutputGone(Exception):
    """The reader of our output is gone."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Raise OutputGone, and print nothing from then on; rich raises SystemExit, which a task must not."""
        with suppress(SystemExit):
            super().on_broken_pipe()
        raise OutputGone


class Report:
    """Print what is being done."""

    def __init__(self, console: Console | None = None, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._console = console or _Console(highlight=False, soft_wrap=True)
        self._monotonic = monotonic

    @contextmanager
    def step(self, doing: str) -> Iterator[Callable[[str], None]]:
        """Print a step and, if it succeeds, its duration; call the yielded function to print details."""
        began = self._monotonic()
        if self._console.is_terminal:
            with self._console.status(escape(f"{doing} ...")) as status:
                yield lambda detail: status.update(escape(f"{doing}: {detail}"))
        else:
            self.line(f"{doing} ...")
            yield lambda detail: self.line(f"  {detail}")
        if self._console.is_terminal:
            self.line(f"{doing} [dim]{self._monotonic() - began:.1f} s[/dim]", mark="[green]✓[/green] ")

    def line(self, text: str = "", *, mark: str = "") -> None:
        """Print a line; on a terminal, *mark* and *text* may have rich's markup."""
        if self._console.is_terminal:
            self._console.print(mark + text)
        else:
            self._console.print(text, markup=False)
            self._console.file.flush()

    def plain(self, text: str) -> None:
        """Print text without markup: commands to copy, ends of logs."""
        self._console.print(text, markup=False)
        self._console.file.flush()
