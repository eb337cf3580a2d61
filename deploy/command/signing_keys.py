"""`pause-notifications signing-keys`: the keys that prove what our own programs write."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.support.output import hint, say
from deploy.support.running import EXIT_FAILED, EXIT_USAGE, refuse
from deploy.support.signing_key_file import add_key
from runtime.settings import env_name
from schemas.signatures import InvalidSigningKeys

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
