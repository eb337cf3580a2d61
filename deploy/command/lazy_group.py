"""Subcommands whose modules are imported when they are used: `--help` and completion of names need none of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from deploy.command.noun import Verb


class Lazy(NamedTuple):
    """A subcommand: where it is, as `module:attribute`, and its line in the list of commands."""

    place: str
    summary: str


class LazyGroup(TyperGroup):
    """A group that knows the names and summaries of its commands, and imports a command when it is called."""

    table: ClassVar[Mapping[str, Lazy]] = {}

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=one.summary) for name, one in self.table.items()}
        self._only_named = False

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the signature is typer's
        """Return a command, or None if there is no such one; import it unless it is only named."""
        if self._only_named or cmd_name not in self.table:
            return self.commands.get(cmd_name)
        module, _, attribute = self.table[cmd_name].place.partition(":")
        return _command(getattr(import_module(module), attribute), cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        with self._naming():
            super().format_commands(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Return the completions of a command's name."""
        with self._naming():
            return super().shell_complete(ctx, incomplete)

    @contextmanager
    def _naming(self) -> Iterator[None]:
        self._only_named = True
        try:
            yield
        finally:
            self._only_named = False


def _command(found: Any, name: str) -> Any:
    """Return the click command of a Typer app, or of a function."""
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(rich_markup_mode=None, add_completion=False)
        alone.command(name, cls=Verb)(found)
        found = alone
    command = typer.main.get_command(found)
    command.name = name
    return command
