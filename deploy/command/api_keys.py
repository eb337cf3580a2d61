"""`pause-notifications api-keys`: who may call the REST endpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.support.files import replace_file
from deploy.support.output import hint, say, table
from deploy.support.running import EXIT_FAILED, EXIT_USAGE, refuse
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

app = typer.Typer(no_args_is_help=True, help="Say who may call the REST endpoints.", rich_markup_mode=None)

File = Annotated[
    Path,
    typer.Option(
        "--file",
        envvar=env_name("api_keys_file"),
        help="The file of API keys that the facades read.",
        metavar="FILE",
    ),
]
Name = Annotated[str, typer.Argument(help="The caller's name, which goes with its events.")]


@app.callback()
def _noun() -> None:
    """Tell who may call the REST endpoints."""


@app.command()
@examples(
    "pause-notifications api-keys add billing --file api-keys",
    "pause-notifications api-keys add duty --operator --file api-keys",
)
def add(
    name: Name,
    file: File,
    *,
    operator: Annotated[bool, typer.Option("--operator", help="It may read the dispatches of all callers.")] = False,
) -> None:
    """
    Make a new key for a caller, print it once, and append its digest to the file.

    The key itself is kept nowhere: who loses it gets a new one. A caller may have several keys, so that a new one can
    be handed out before the old one is removed. Facades read the file again within seconds. It is made if it is absent.
    """
    if not valid_name(name):
        refuse(f"NAME: must be {NAME_ALLOWED}", EXIT_USAGE)
    text, _ = _read(file) if file.exists() else ("", ())
    key = new_key()
    made = ApiKey(name, digest_of(key) or b"", operator=operator)
    _write(file, f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{made.line}\n")
    say(key)
    hint(f"This is the key of {name}, shown only now. It is sent as: Authorization: Bearer KEY")


@app.command("list")
@examples("pause-notifications api-keys list --file api-keys")
def list_(file: File) -> None:
    """List the callers and the beginning of their keys' digests, in the order in which they were added."""
    _, keys = _read(file)
    rows = [(key.name, _start(key), "yes" if key.operator else "no") for key in keys]
    table(("name", "digest", "operator"), rows)


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
        str, typer.Option(metavar="START", help="Only the key whose digest begins so (see: api-keys list).")
    ] = "",
) -> None:
    """
    Remove all keys of a caller, or one of them: facades refuse it within seconds.

    The last key of the file is not removed: facades go on with the keys that they have rather than with none.
    """
    text, keys = _read(file)
    gone = [key for key in keys if key.name == name and key.digest.hex().startswith(digest.lower())]
    if not gone:
        refuse(f"{file}: there is no such key of {name}; see: pause-notifications api-keys list", EXIT_FAILED)
    if len(gone) == len(keys):
        refuse(
            f"{file}: no key would be left, and facades would go on with those that they have; "
            f"add another caller's key first, or unset {env_name('api_keys_file')} and restart them",
            EXIT_FAILED,
        )
    _write(file, without(text, gone))
    say(f"{len(gone)} key{'s' * (len(gone) != 1)} of {name} removed")


def _start(key: ApiKey) -> str:
    return key.digest.hex()[:_SHOWN_DIGITS]


def _read(file: Path) -> tuple[str, tuple[ApiKey, ...]]:
    try:
        text = decode_keys(read_bytes(file))
        return text, parse_keys(text)
    except InvalidKeysFile as error:
        refuse(f"{file}: {error}", EXIT_FAILED)
    except OSError as error:
        refuse(f"{file}: {error.strerror}", EXIT_FAILED)


def _write(file: Path, text: str) -> None:
    try:
        replace_file(file, text)
    except OSError as error:
        refuse(f"{file}: {error.strerror}; nothing was changed", EXIT_FAILED)
