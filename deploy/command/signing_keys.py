"""`pause-notifications signing-keys`: the keys that prove what our own programs write."""

from __future__ import annotations

import base64
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.support.output import hint, say
from deploy.support.running import EXIT_FAILED, EXIT_USAGE, refuse
from runtime.settings import env_name
from schemas.signatures import MIN_KEY_BYTES, InvalidSigningKeys, SigningKeys, parse_signing_keys

_OWNER_ALONE = 0o600

app = typer.Typer(no_args_is_help=True, help="Make the keys that prove our own records.", rich_markup_mode=None)


@app.callback()
def _noun() -> None:
    """Make the keys that prove our own records."""


@app.command()
@examples(
    "pause-notifications signing-keys add signing-keys",
    "kubectl create secret generic pause-notifications-signing-keys --from-file=signing-keys",
)
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file of keys; made if there is none.")],
    *,
    if_none: Annotated[bool, typer.Option("--if-none", help="Do nothing if there is a key already.")] = False,
) -> None:
    """
    Add a new random key to a file of signing keys; the key is not shown.

    The first key of the file signs and all verify, so the first one added signs. A later one only verifies until its
    line is moved to the top: that is done once every program has it.
    """
    try:
        keys = add_key(file, if_none=if_none)
    except InvalidSigningKeys as error:
        refuse(f"{file} is left as it is. {error}", EXIT_USAGE)
    except (OSError, UnicodeDecodeError) as error:
        refuse(str(error), EXIT_FAILED)
    say(f"{file}: {', '.join(keys.ids)} ({keys.ids[0]} signs)")
    hint(f"name it to service, consumers and command: {env_name('signing_keys_file')}={file.resolve()}")
    if len(keys.ids) > 1:
        hint("once all of them have it, move its line to the top and restart them: then it signs")


def add_key(file: Path, *, if_none: bool = False) -> SigningKeys:
    """
    Add a key to *file*, which only its owner may read if it is new, and return all keys.

    Raises:
        InvalidSigningKeys: there is something in the file that is no key.
        OSError, UnicodeDecodeError: it cannot be read or written.
    """
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    if text.strip():
        keys = parse_signing_keys(text)
        if if_none:
            return keys
    new = secrets.token_bytes(MIN_KEY_BYTES)
    line = base64.urlsafe_b64encode(new).decode()
    start = f"{text.rstrip()}\n" if text.strip() else ""
    text = f"{start}# {SigningKeys([new]).ids[0]}, made {datetime.now(UTC):%Y-%m-%d}\n{line}\n"
    keys = parse_signing_keys(text)
    _replace(file, text)
    return keys


def _replace(file: Path, text: str) -> None:
    """Write *file* whole or not at all: a program may be reading it."""
    mode = file.stat().st_mode & 0o777 if file.exists() else _OWNER_ALONE
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ALONE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as writing:
            writing.write(text)
            os.fchmod(writing.fileno(), mode)
        beside.replace(file)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
