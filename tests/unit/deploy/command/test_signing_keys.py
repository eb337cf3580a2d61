"""Making signing keys."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

from schemas.signatures import parse_signing_keys
from tests.signing import KEY

Command = Callable[..., Result]


def test_a_new_file_is_its_owners_alone(command: Command, tmp_path: Path) -> None:
    """The key is in the file and nowhere else; its id is told, which tells nothing of it."""
    file = tmp_path / "signing-keys"

    made = command("signing-keys", "add", str(file))

    (key_id,) = parse_signing_keys(file.read_text()).ids
    secret = file.read_text().splitlines()[-1]
    assert (0, 0o600) == (made.exit_code, stat.S_IMODE(file.stat().st_mode))
    assert key_id in made.output
    assert secret not in made.output


def test_a_further_key_verifies_at_first(command: Command, tmp_path: Path) -> None:
    """The first goes on signing, comments stay, and so does the file's mode."""
    file = tmp_path / "signing-keys"
    file.write_text(f"# ours\n{KEY.hex()}")
    file.chmod(0o640)

    command("signing-keys", "add", str(file))

    text = file.read_text()
    assert f"# ours\n{KEY.hex()}\n# " == text[: len(KEY.hex()) + 10]
    assert (2, 0o640) == (len(parse_signing_keys(text).ids), stat.S_IMODE(file.stat().st_mode))
    assert [file] == list(tmp_path.iterdir())


def test_a_key_is_made_only_if_there_is_none(command: Command, tmp_path: Path) -> None:
    """Whatever starts the programs may ask for one each time."""
    file = tmp_path / "signing-keys"
    command("signing-keys", "add", "--if-none", str(file))
    first = file.read_text()

    again = command("signing-keys", "add", "--if-none", str(file))

    assert (0, first) == (again.exit_code, file.read_text())


def test_a_file_of_something_else_is_left_as_it_is(command: Command, tmp_path: Path) -> None:
    """The line is named, and nothing of it is shown."""
    file = tmp_path / "notes"
    file.write_text("hunter2\n")

    refused = command("signing-keys", "add", str(file))

    assert (2, "hunter2\n") == (refused.exit_code, file.read_text())
    assert "Line 1 is no signing key" in refused.stderr
    assert "hunter2" not in refused.output


def test_a_directory_that_is_not_there_is_one_line(command: Command, tmp_path: Path) -> None:
    """The command says what it could not write."""
    refused = command("signing-keys", "add", str(tmp_path / "nowhere" / "keys"))

    assert 1 == refused.exit_code
    assert "nowhere" in refused.stderr
