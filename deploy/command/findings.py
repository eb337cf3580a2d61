"""The result of one check of `doctor`, and how it is printed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

import typer

from deploy.support.output import print_json, print_line


class State(StrEnum):
    """The result of one check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """A check and its result."""

    check: str
    state: State
    detail: str
    advice: str = ""


def print_finding(finding: Finding, *, as_json: bool) -> None:
    """Print a finding: as a line of JSON, or in words with what to do below."""
    if as_json:
        print_json(asdict(finding))
        return
    colour = {State.OK: typer.colors.GREEN, State.WARN: typer.colors.YELLOW, State.FAIL: typer.colors.RED}
    typer.secho(f"{finding.state.value:<4}", fg=colour[finding.state], nl=False)
    print_line(f"  {finding.check}: {finding.detail}")
    if finding.advice:
        print_line(f"      -> {finding.advice}")
