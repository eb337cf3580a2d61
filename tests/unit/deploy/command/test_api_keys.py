"""`pause-notifications api-keys`."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from runtime.settings import env_name
from service.api_keys import digest_of, parse_keys
from tests.api_keys import api_key, keys_file, keys_text

Command = Callable[..., Result]


def test_add_prints_the_key_and_stores_its_digest(command: Command, tmp_path: Path) -> None:
    """Only the key is printed, and only its digest is stored, in a file that only its owner can read."""
    file = tmp_path / "keys"

    result = command("api-keys", "add", "billing", "--file", str(file))

    key = result.stdout.removesuffix("\n")
    (kept,) = parse_keys(file.read_text())
    assert (0, "", "billing", False) == (result.exit_code, result.stderr, kept.name, kept.operator)
    assert digest_of(key) == kept.digest
    assert key not in file.read_text()
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)


def test_add_appends(command: Command, tmp_path: Path) -> None:
    """The content of the file stays, with comments and mode; the default file is that of the facades."""
    file = tmp_path / "keys"
    file.write_text("# ours\n" + keys_text("billing").removesuffix("\n"))
    file.chmod(0o640)

    result = command("api-keys", "add", "duty", "--operator", **{env_name("api_keys_file"): str(file)})

    assert 0 == result.exit_code
    assert file.read_text().startswith("# ours\n" + keys_text("billing"))
    assert [("billing", False), ("duty", True)] == [(k.name, k.operator) for k in parse_keys(file.read_text())]
    assert 0o640 == stat.S_IMODE(file.stat().st_mode)


def test_add_follows_a_link(command: Command, tmp_path: Path) -> None:
    """A link stays a link, and its target is changed."""
    file, link = keys_file(tmp_path, "billing"), tmp_path / "link"
    link.symlink_to(file)

    command("api-keys", "add", "crm", "--file", str(link))

    assert (True, 2) == (link.is_symlink(), len(parse_keys(file.read_text())))


@pytest.mark.parametrize("name", ["", "anonymous", "#me", "a b", "n" * 65, "zoë"])
def test_add_refuses_a_name(command: Command, tmp_path: Path, name: str) -> None:
    """An invalid name is a usage error, and nothing is written."""
    file = tmp_path / "keys"

    result = command("api-keys", "add", name, "--file", str(file))

    assert (2, "", False) == (result.exit_code, result.stdout, file.exists())
    assert "NAME: must be 1 to 64 printable" in result.stderr


@pytest.mark.parametrize("text", ["billing:0123456789abcdef\n", '{"billing":"0123456789abcdef"}'])
@pytest.mark.parametrize("arguments", [("add", "crm"), ("list",), ("remove", "billing")], ids=" ".join)
def test_a_file_of_the_keys_themselves(command: Command, tmp_path: Path, arguments: tuple[str, ...], text: str) -> None:
    """A file with the keys themselves is not changed, and the error says what to do."""
    file = tmp_path / "keys"
    file.write_text(text)

    result = command("api-keys", *arguments, "--file", str(file))

    assert (1, "", text) == (result.exit_code, result.stdout, file.read_text())
    assert f"Error: {file}: line 1: must be NAME sha256:DIGEST" in result.stderr
    assert "0123456789abcdef" not in result.stderr


def test_list(command: Command, tmp_path: Path) -> None:
    """Callers are listed in the order of the file, with the start of each digest and the operator mark."""
    result = command("api-keys", "list", "--file", str(keys_file(tmp_path, "billing", operator="duty")))

    expected = [
        "name\tdigest\toperator",
        f"billing\t{api_key('billing').digest.hex()[:12]}\tno",
        f"duty\t{api_key('duty').digest.hex()[:12]}\tyes",
    ]
    assert (0, expected) == (result.exit_code, result.stdout.splitlines())


def test_remove(command: Command, tmp_path: Path) -> None:
    """All keys of a caller are removed; those of others stay."""
    file = keys_file(tmp_path, "billing", "crm")
    command("api-keys", "add", "billing", "--file", str(file))

    result = command("api-keys", "remove", "billing", "--file", str(file))

    assert (0, "2 keys of billing removed\n") == (result.exit_code, result.stdout)
    assert keys_text("crm") == file.read_text()


def test_remove_one(command: Command, tmp_path: Path) -> None:
    """With --digest only one key is removed, so a key can be replaced without a gap."""
    file = keys_file(tmp_path, "billing")
    command("api-keys", "add", "billing", "--file", str(file))
    old, new = parse_keys(file.read_text())

    result = command("api-keys", "remove", "billing", "--digest", old.digest.hex()[:12], "--file", str(file))

    assert (0, (new,)) == (result.exit_code, parse_keys(file.read_text()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("crm",), "crm has no such key"), (("billing",), "no key would be left")],
)
def test_remove_refuses(command: Command, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    """An unknown key cannot be removed, nor the last one, which running facades would keep."""
    file = keys_file(tmp_path, "billing")

    result = command("api-keys", "remove", *arguments, "--file", str(file))

    assert (1, "", keys_text("billing")) == (result.exit_code, result.stdout, file.read_text())
    assert message in result.stderr


def test_a_full_disk_changes_nothing(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the file cannot be written, no key is printed, the old file stays, and no temporary file is left."""
    file = keys_file(tmp_path, "billing")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    result = command("api-keys", "add", "crm", "--file", str(file))

    assert (1, "", keys_text("billing")) == (result.exit_code, result.stdout, file.read_text())
    assert f"Error: {file}: No space left on device; the file is unchanged\n" == result.stderr
    assert [file] == list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [("add", "crm"), ("list",), ("remove", "crm")], ids=" ".join)
def test_a_file_is_needed(command: Command, arguments: tuple[str, ...]) -> None:
    """Without a file in an option or a setting, the error has the missing option."""
    result = command("api-keys", *arguments)

    assert (2, True) == (result.exit_code, "Missing option '--file'" in result.stderr)


@pytest.mark.parametrize("arguments", [("list",), ("remove", "crm")], ids=" ".join)
def test_a_missing_file_is_reported(command: Command, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """The error for a missing file is one line with its path."""
    file = tmp_path / "none"

    result = command("api-keys", *arguments, "--file", str(file))

    assert (1, f"Error: {file}: No such file or directory\n") == (result.exit_code, result.stderr)
