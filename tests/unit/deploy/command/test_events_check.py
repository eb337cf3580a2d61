"""`events check` prints the verdicts of `schemas.check`, without a broker and without settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tests.unit.schemas.test_check import an_example, as_kcat

Command = Callable[..., Result]


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (as_kcat(an_example()), 0, "mentor.pauses.v1-5-7 (line 1): an event: mentor.pause.lifted.v1\n"),
        (as_kcat(an_example(), key=None), 1, "key mentor-042: wrong key, so the record would be moved\n"),
        (as_kcat(an_example(), payload="{"), 1, "a dead letter: not_json\n"),
        (b"\xef\xbb\xbf" + an_example().value, 1, "is not JSON: it begins with a byte order mark"),
        (as_kcat(an_example(), topic="\x1b[31m"), 1, r"\x1b[31m-5-7"),
    ],
)
def test_verdicts_are_printed(command: Command, tmp_path: Path, content: bytes, code: int, says: str) -> None:
    """A verdict is printed in words, escaped, and the exit code says whether all is right."""
    file = tmp_path / "records"
    file.write_bytes(content)

    result = command("events", "check", str(file))

    assert (code, True) == (result.exit_code, says in result.stdout)


def test_json_is_printed(command: Command, tmp_path: Path) -> None:
    """With --json it is one line."""
    file = tmp_path / "value"
    file.write_bytes(an_example().value)
    headers = [text for name, value in an_example().headers for text in ("-H", f"{name}={value.decode()}")]

    result = command("events", "check", *headers, "--json", str(file))

    assert (0, ["mentor", "coordinator"]) == (result.exit_code, json.loads(result.stdout)["told"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing"], "No such file"),
        (["-H", "ce_id", "missing"], "must be NAME=VALUE"),
        (["--partitions", "0", "missing"], "--partitions"),
    ],
)
def test_wrong_usage(command: Command, arguments: list[str], says: str) -> None:
    """A file that cannot be read and a wrong option exit with 2."""
    result = command("events", "check", *arguments)

    assert (2, True) == (result.exit_code, says in result.stderr)
