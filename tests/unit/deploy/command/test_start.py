"""How the command starts: fast, and it can be stopped at once."""

from __future__ import annotations

import signal
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import pytest
import typer

from deploy.command.app import app
from tests.processes import ROOT

HEAVY = {"aiokafka", "boto3", "botocore", "fastapi", "jinja2", "pydantic", "pydantic_settings", "structlog"}
"""Packages that take most of the time of an import."""
START = "import sys; from deploy.command.__main__ import main; "
STOP_AT_IMPORT = """
import builtins, os, signal
from deploy.command.__main__ import main
original = builtins.__import__
def stopping(name, *arguments, **named):
    if name == {module!r}:
        os.kill(os.getpid(), signal.SIGINT)
    return original(name, *arguments, **named)
builtins.__import__ = stopping
main()
"""


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_imports_nothing_heavy(option: str) -> None:
    """The list of commands and the version need no Kafka, no AWS and no settings."""
    code = (
        f"{START} sys.argv = ['pause-notifications', {option!r}]\ntry: main()\nfinally: print('LOADED', *sys.modules)"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    loaded = ran.stdout.partition("LOADED")[2].split()
    assert "deploy.command.app" in loaded
    assert set() == HEAVY & set(loaded)


def test_version() -> None:
    """`--version` prints the installed version."""
    ran = subprocess.run(
        [sys.executable, "-m", "deploy.command", "--version"], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert f"pause-notifications {version('pause-notifications')}\n" == ran.stdout


def test_the_list_names_what_the_commands_say() -> None:
    """Each summary in the list of commands is the first sentence of that command's own help."""
    group: Any = typer.main.get_command(app)
    context = typer.Context(group)

    own = {name: group.get_command(context, name).get_short_help_str(200) for name in group.list_commands(context)}

    listed = {name: one.summary.rstrip(".") for name, one in group.table.items()}
    assert listed == {name: text.rstrip(".") for name, text in own.items()}


@pytest.mark.parametrize("module", ["deploy.command.app", "typer", "runtime.logs", "aiokafka.errors"])
def test_ctrl_c_while_modules_are_imported(module: str) -> None:
    """Ctrl-C while a module is imported ends the command with 130 and without a traceback."""
    code = f"import sys; sys.argv = ['pause-notifications', 'topics', 'create']{STOP_AT_IMPORT.format(module=module)}"

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)

    assert (128 + signal.SIGINT, "") == (ran.returncode, ran.stderr)
