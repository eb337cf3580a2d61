"""A noun of the command line, such as `contacts`, and its verbs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand
from typer.models import CommandFunctionType

Work = Callable[[], None]
"""What a command does once its options are right."""


class Verb(TyperCommand):
    """
    A command whose function checks the options, and returns the work.

    The program is set up between the two, so help and wrong usage need neither logs nor what they import.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; say what is wrong with one without the prefix that Typer's own library adds."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise

    def invoke(self, ctx: Any) -> None:
        """Run the function, set up the program if `main` has said how, and do the work."""
        work: Work = super().invoke(ctx)
        set_up = ctx.find_root().obj
        if set_up is not None:
            set_up()
        work()


class Noun(typer.Typer):
    """A group of verbs, also if it has only one."""

    def __init__(self, summary: str) -> None:
        super().__init__(no_args_is_help=True, help=summary, rich_markup_mode=None)
        self.callback()(_nothing)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[CommandFunctionType], CommandFunctionType]:
        """Return a decorator that adds a function as a verb."""
        return super().command(name, cls=Verb, **settings)


def _nothing() -> None:
    """Do nothing before a verb: with this function, Typer makes a group of a single command, too."""
