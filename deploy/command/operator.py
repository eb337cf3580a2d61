"""Who runs the command, and why: what a record of theirs says."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from schemas.controls import MAX_SOURCE, MAX_TEXT


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


def source_of_events(text: str | None) -> str | None:
    """Return the text, or raise a usage error if no event can have this `source`.

    Control characters pass: the events of whoever writes them must be held and cancelled, too.
    """
    if text is not None and not 1 <= len(text) <= MAX_SOURCE:
        raise typer.BadParameter(f"must be the source of events, of 1 to {MAX_SOURCE} characters")
    if text is not None and text != text.strip():
        raise typer.BadParameter("begins or ends with a blank, as no source does")
    return text


By = Annotated[str | None, typer.Option("--by", metavar="NAME", callback=one_line, help="Who does it; by default you.")]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", callback=one_line, help="Why, in your words; all who look see it.")
]
