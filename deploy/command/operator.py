"""Who runs the command, and why: what a record of theirs says."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from schemas.controls import MAX_TEXT


def user_name() -> str:
    """Return the name of whoever runs the command, as a record may have it."""
    try:
        return getpass.getuser()[:MAX_TEXT]  # the environment may set any name
    except (ImportError, KeyError, OSError):  # in a container the user may have no name
        return "unknown"


def one_line(text: str | None) -> str | None:
    """Return the text, or raise a usage error if it is not one line that a record may have."""
    if text is not None and not (text.strip() and text.isprintable() and len(text) <= MAX_TEXT):
        raise typer.BadParameter(f"must be one line of 1 to {MAX_TEXT} characters")
    return text


By = Annotated[str | None, typer.Option("--by", metavar="NAME", callback=one_line, help="Who does it; by default you.")]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", callback=one_line, help="Why, in your words; all who look see it.")
]
