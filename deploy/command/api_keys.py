"""`pause-notifications api-keys`: the keys of REST callers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.support.files import replace_file
from deploy.support.output import print_hint, print_table, print_text
from deploy.support.running import EXIT_FAILED, EXIT_USAGE, exit_with_error
from runtime.settings import env_name
from service.api_keys import (
    NAME_ALLOWED,
    ApiKey,
    InvalidKeysFile,
    decode_keys,
    digest_of,
    new_key,
    parse_keys,
    read_bytes,
    valid_name,
    without,
)

_SHOWN_DIGITS = 12

app = typer.Typer(no_args_is_help=True, help="Manage the API keys of REST callers.", rich_markup_mode=None)

File = Annotated[
    Path,
    typer.Option(
        "--file",
        envvar=env_name("api_keys_file"),
        help="File of API keys that the facades read.",
        metavar="FILE",
    ),
]
Name = Annotated[str, typer.Argument(help="Name of the caller; it becomes part of its events.")]


@app.callback()
def _noun() -> None:
    """Manage the API keys of REST callers."""


@app.command()
@examples(
    "pause-notifications api-keys add billing --file api-keys",
    "pause-notifications api-keys add duty --operator --file api-keys",
)
def add(
    name: Name,
    file: File,
    *,
    operator: Annotated[
        bool, typer.Option("--operator", help="The key may read the dispatches of all callers.")
    ] = False,
) -> None:
    """
    Create a key for a caller, print it once, and append its digest to the file.

    The key itself is not stored: a caller who loses it needs a new one. A caller may have several keys, so you can hand
    out a new key before you remove the old one. Facades read the file again within seconds. The file is created if
    there is none.
    """
    if not valid_name(name):
        exit_with_error(f"NAME: must be {NAME_ALLOWED}", EXIT_USAGE)
    text, _ = _read(file) if file.exists() else ("", ())
    key = new_key()
    added = ApiKey(name, digest_of(key) or b"", operator=operator)
    _write(file, f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{added.line}\n")
    print_text(key)
    print_hint(f"This is the key of {name}. It is shown only once. Callers send it as: Authorization: Bearer KEY")


@app.command("list")
@examples("pause-notifications api-keys list --file api-keys")
def list_(file: File) -> None:
    """List the callers and the start of their keys' digests, in the order in which they were added."""
    _, keys = _read(file)
    rows = [(key.name, _start(key), "yes" if key.operator else "no") for key in keys]
    print_table(("name", "digest", "operator"), rows)


@app.command()
@examples(
    "pause-notifications api-keys remove billing --file api-keys",
    "pause-notifications api-keys remove billing --digest 9f86d081884c --file api-keys",
)
def remove(
    name: Name,
    file: File,
    *,
    digest: Annotated[
        str, typer.Option(metavar="START", help="Only the key whose digest starts with this (see: api-keys list).")
    ] = "",
) -> None:
    """
    Remove all keys of a caller, or one of them; facades reject them within seconds.

    The last key of the file cannot be removed: facades would keep the keys that they have rather than use none.
    """
    text, keys = _read(file)
    removed = [key for key in keys if key.name == name and key.digest.hex().startswith(digest.lower())]
    if not removed:
        exit_with_error(f"{file}: {name} has no such key; see: pause-notifications api-keys list", EXIT_FAILED)
    if len(removed) == len(keys):
        exit_with_error(
            f"{file}: no key would be left, and facades would keep the keys that they have; "
            f"add another caller's key first, or unset {env_name('api_keys_file')} and restart them",
            EXIT_FAILED,
        )
    _write(file, without(text, removed))
    print_text(f"{len(removed)} key{'s' * (len(removed) != 1)} of {name} removed")


def _start(key: ApiKey) -> str:
    return key.digest.hex()[:_SHOWN_DIGITS]


def _read(file: Path) -> tuple[str, tuple[ApiKey, ...]]:
    try:
        text = decode_keys(read_bytes(file))
        return text, parse_keys(text)
    except InvalidKeysFile as error:
        exit_with_error(f"{file}: {error}", EXIT_FAILED)
    except OSError as error:
        exit_with_error(f"{file}: {error.strerror}", EXIT_FAILED)


def _write(file: Path, text: str) -> None:
    try:
        replace_file(file, text)
    except OSError as error:
        exit_with_error(f"{file}: {error.strerror}; the file is unchanged", EXIT_FAILED)
