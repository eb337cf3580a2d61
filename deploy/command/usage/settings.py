"""`pause-notifications settings`: print every setting."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.command.noun import Work


class Program(StrEnum):
    """Whose settings are printed: those that `runtime.settings` knows."""

    SERVICE = "service"
    CONSUMERS = "consumers"
    COMMAND = "command"


@examples(
    "pause-notifications settings --program consumers",
)
def settings(
    program: Annotated[Program | None, typer.Option(help="Only settings of this program.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per setting.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print all settings as a Markdown table.")] = False,
) -> Work:
    """Print every setting with its default and allowed values."""
    from deploy.command import settings

    return lambda: settings.settings(program and program.value, as_json=as_json, as_markdown=as_markdown)
