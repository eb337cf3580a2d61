"""The question before a change."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner, Result

from deploy.support.asking import ask, check_can_ask

_app = typer.Typer()


@_app.command()
def _cancel(*, yes: bool = False) -> None:
    ask("Cancel them?", done="cancelled", yes=yes)
    typer.echo("cancelled")


def _asked(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(_app, arguments, input=answer)


@pytest.mark.parametrize("result", [_asked(answer="y\n"), _asked("--yes")], ids=["answered", "--yes"])
def test_a_yes_goes_on(result: Result) -> None:
    """The change is made after a yes, or with --yes."""
    assert result.stdout.endswith("cancelled\n")


def test_a_no_says_that_nothing_was_done() -> None:
    """The operator reads that nothing changed."""
    assert _asked(answer="n\n").stderr.endswith("Error: nothing was cancelled\n")


def test_a_no_exits_with_1() -> None:
    """A script can tell that nothing changed."""
    assert 1 == _asked(answer="n\n").exit_code


def test_without_a_terminal_nothing_can_be_asked() -> None:
    """Without a terminal and --yes the command ends as wrong usage."""
    with pytest.raises(typer.Exit) as ended:
        check_can_ask("cancel", yes=False)

    assert 2 == ended.value.exit_code
