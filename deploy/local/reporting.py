"""What the stack tells on its way up and down: a spinner on a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class OutputGone(Exception):
    """Nobody reads our output any more."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Raise OutputGone and be quiet from then on; rich would raise SystemExit, which no task may."""
        with suppress(SystemExit):
            super().on_broken_pipe()
        raise OutputGone


class Report:
    """Tells people what is being done."""

    def __init__(self, console: Console | None = None, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._console = console or _Console(highlight=False, soft_wrap=True)
        self._monotonic = monotonic

    @contextmanager
    def step(self, doing: str) -> Iterator[Callable[[str], None]]:
        """Tell of one step and, where it succeeds, how long it took; what is given may refine what is being done."""
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
        """Print a line; *mark* and *text* may hold rich's markup where there is a terminal."""
        if self._console.is_terminal:
            self._console.print(mark + text)
        else:
            self._console.print(text, markup=False)
            self._console.file.flush()

    def plain(self, text: str) -> None:
        """Print text as it is: commands to copy, ends of logs."""
        self._console.print(text, markup=False)
        self._console.file.flush()
