"""Ask the operator before a change."""

from __future__ import annotations

import sys

import typer

from deploy.support.running import EXIT_USAGE, exit_with_error


def check_can_ask(verb: str, *, yes: bool) -> None:
    """Exit with 2 if the question before *verb* can be neither asked nor left out."""
    if not (yes or sys.stdin.isatty()):
        exit_with_error(f"there is no terminal to ask: look with --dry-run, then {verb} with --yes", EXIT_USAGE)


def ask(question: str, *, done: str, yes: bool) -> None:
    """Return if the answer is yes, or is not needed; otherwise exit with 1 and say that nothing was *done*."""
    if not (yes or typer.confirm(question, err=True)):
        exit_with_error(f"nothing was {done}")
