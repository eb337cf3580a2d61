"""`pause-notifications signing-keys`."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from schemas.signatures import parse_signing_keys
from tests.signing import KEY

Command = Callable[..., Result]


def test_only_its_owner_can_read_a_new_file(command: Command, tmp_path: Path) -> None:
    """The key is only in the file; its id is printed, which reveals nothing about it."""
    file = tmp_path / "signing-keys"

    made = command("signing-keys", "add", str(file))

    (key_id,) = parse_signing_keys(file.read_text()).ids
    secret = file.read_text().splitlines()[-1]
    assert (0, 0o600) == (made.exit_code, stat.S_IMODE(file.stat().st_mode))
    assert key_id in made.output
    assert secret not in made.output


def test_a_second_key_only_verifies(command: Command, tmp_path: Path) -> None:
    """The first key still signs; comments and the mode of the file stay."""
    file = tmp_path / "signing-keys"
    file.write_text(f"# ours\n{KEY.hex()}")
    file.chmod(0o640)

    command("signing-keys", "add", str(file))

    text = file.read_text()
    assert f"# ours\n{KEY.hex()}\n# " == text[: len(KEY.hex()) + 10]
    assert (2, 0o640) == (len(parse_signing_keys(text).ids), stat.S_IMODE(file.stat().st_mode))
    assert [file] == list(tmp_path.iterdir())


def test_a_key_is_made_only_if_there_is_none(command: Command, tmp_path: Path) -> None:
    """A start script may call it each time."""
    file = tmp_path / "signing-keys"
    command("signing-keys", "add", "--if-none", str(file))
    first = file.read_text()

    again = command("signing-keys", "add", "--if-none", str(file))

    assert (0, first) == (again.exit_code, file.read_text())


def test_a_file_with_other_content_is_not_changed(command: Command, tmp_path: Path) -> None:
    """The error has the line number, and nothing of its content."""
    file = tmp_path / "notes"
    file.write_text("hunter2\n")

    refused = command("signing-keys", "add", str(file))

    assert (2, "hunter2\n") == (refused.exit_code, file.read_text())
    assert "Line 1 is no signing key" in refused.stderr
    assert "hunter2" not in refused.output


@pytest.mark.parametrize(
    ("encoding", "code", "says"),
    [("utf-8-sig", 0, ""), ("utf-16", 2, "Error: {file} is unchanged. It is not UTF-8.\n")],
)
def test_a_file_of_another_editor(command: Command, tmp_path: Path, encoding: str, code: int, says: str) -> None:
    """A byte order mark is no part of the first key; a file in another encoding is refused in our words."""
    file = tmp_path / "signing-keys"
    file.write_text(f"{KEY.hex()}\n", encoding=encoding)

    added = command("signing-keys", "add", str(file))

    assert (code, says.format(file=file)) == (added.exit_code, added.stderr)


def test_a_missing_directory_is_reported_in_one_line(command: Command, tmp_path: Path) -> None:
    """The error has the path that could not be written."""
    refused = command("signing-keys", "add", str(tmp_path / "nowhere" / "keys"))

    assert 1 == refused.exit_code
    assert "nowhere" in refused.stderr
