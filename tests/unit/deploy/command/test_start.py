"""How the command starts: fast, and it can be stopped at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from deploy.command.app import app
from deploy.command.usage.settings import Program
from runtime.environment import describe_settings
from runtime.settings import PROGRAMS
from tests.processes import ROOT

HEAVY = {
    *("aiohttp", "aiokafka", "boto3", "botocore", "email_validator", "fastapi", "httpx", "jinja2", "orjson"),
    *("prometheus_client", "pydantic_settings", "rich", "starlette", "structlog", "uvicorn"),
}
"""Packages that take most of the time of an import. Typer itself needs pydantic for any subcommand."""
IN_TURN = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from deploy.command.__main__ import main
found = {}
for arguments in json.loads(sys.argv[1]):
    sys.argv = ['pause-notifications', *arguments]
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(printed), suppress(SystemExit):
        main()
    found[' '.join(arguments)] = printed.getvalue(), [*sys.modules]
print(json.dumps(found))
"""
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


def every_command() -> Iterator[tuple[str, ...]]:
    """Yield the words of each command and group."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(app))]
    for words, command in waiting:
        yield words
        if isinstance(command, TyperGroup):
            context = typer.Context(command)
            waiting += [((*words, name), command.get_command(context, name)) for name in command.list_commands(context)]


def run_in_turn(*many: Sequence[str]) -> dict[str, tuple[str, list[str]]]:
    """Run the command with each of these arguments in one new process; return what it printed, and what was loaded."""
    ran = subprocess.run(
        [sys.executable, "-c", IN_TURN, json.dumps(many)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    found = json.loads(ran.stdout)
    return {arguments: (printed, sorted(HEAVY & {*loaded})) for arguments, (printed, loaded) in found.items()}


def test_help_imports_nothing_heavy() -> None:
    """The version and the help of each command need no Kafka, no AWS, no logs and no settings."""
    found = run_in_turn(("--version",), *((*words, "--help") for words in every_command()))

    assert ["--version"] == [words for words, (printed, _) in found.items() if "Usage: " not in printed]
    assert {} == {words: heavy for words, (_, heavy) in found.items() if heavy}


def test_wrong_usage_imports_nothing_heavy() -> None:
    """Options are checked before anything is imported that the command works with."""
    found = run_in_turn(
        ("contacts", "load"),
        ("dead-letters", "list", "--reason", "spite"),
        ("dispatches", "cancel", "--source", "/hr"),
        ("dispatches", "show", "not-an-id"),
        ("doctor", "--sends", "3"),
        ("events", "check", "-H", "ce_id", "record.json"),
        ("events", "publish", "pause-lifted", "--mentor", ""),
        ("log-level", "set", "debug", "--for", "9d"),
        ("preview",),
        ("settings", "--program", "nobody"),
        ("suppressions", "add", "mentor-042", "--reason", "letters", "--until", "soon"),
    )

    assert [] == [words for words, (printed, _) in found.items() if "Usage: " not in printed]
    assert {} == {words: heavy for words, (_, heavy) in found.items() if heavy}


def test_version() -> None:
    """`--version` prints the installed version."""
    ran = subprocess.run(
        [sys.executable, "-m", "deploy.command", "--version"], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert f"pause-notifications {version('pause-notifications')}\n" == ran.stdout


def test_an_unknown_setting_is_warned_of() -> None:
    """As the programs do at their start, the command names a misspelt variable and the nearest one, and goes on."""
    ran = subprocess.run(
        [sys.executable, "-m", "deploy.command", "preview", "pause-lifted"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PAUSE_NOTIFICATIONS_ORGANIZATION": "Example Mentoring"},
    )

    expected = (
        "PAUSE_NOTIFICATIONS_ORGANIZATION is not read by any program; did you mean PAUSE_NOTIFICATIONS_ORGANISATION?"
    )
    assert f"Warning: {expected}\n" == ran.stderr
    assert ran.stdout.startswith("Subject: ")


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


def test_options_read_known_variables() -> None:
    """Each environment variable that an option reads is a setting."""
    known = {row.variable for row in describe_settings()}
    group: Any = typer.main.get_command(app)

    read = {option.envvar for words in every_command() for option in _command(group, words).params if option.envvar}

    assert set() == read - known


def _command(group: Any, words: Sequence[str]) -> Any:
    for word in words:
        group = group.get_command(typer.Context(group), word)
    return group


def test_settings_of_every_program_can_be_asked_for() -> None:
    """The programs that `settings --program` knows are those that have settings."""
    assert [*PROGRAMS] == [program.value for program in Program]
