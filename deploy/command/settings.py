"""`pause-notifications settings`: print every setting."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.support.output import print_json, print_table, print_text
from runtime.environment import describe_settings, settings_table
from runtime.settings import PROGRAMS


def _program(name: str | None) -> str | None:
    if name is not None and name not in PROGRAMS:
        raise typer.BadParameter("must be one of " + ", ".join(PROGRAMS))
    return name


@examples(
    "pause-notifications settings --program consumers",
)
def settings(
    program: Annotated[
        str | None, typer.Option(callback=_program, help=f"Only settings of this program: {', '.join(PROGRAMS)}.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per setting.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print all settings as a Markdown table.")] = False,
) -> None:
    """Print every setting with its default and allowed values."""
    rows = describe_settings(*([program] if program else []))
    if as_markdown:
        print_text(settings_table().rstrip())
        return
    if as_json:
        for row in rows:
            print_json(dataclasses.asdict(row))
        return
    print_table(
        ("variable", "default", "unit", "allowed", "read by", "meaning"),
        [(r.variable, r.default, r.unit, r.allowed, ", ".join(r.read_by), r.description) for r in rows],
    )
