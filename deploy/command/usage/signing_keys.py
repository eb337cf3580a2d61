"""`pause-notifications signing-keys`: add keys that sign the records of our programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.command.noun import Noun, Work

app = Noun("Add keys that sign the records of our programs.")


@app.command()
@examples(
    "pause-notifications signing-keys add signing-keys",
    "kubectl create secret generic pause-notifications-signing-keys --from-file=signing-keys",
)
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File of keys; created if there is none.")],
    *,
    if_none: Annotated[bool, typer.Option("--if-none", help="Do nothing if the file already has a key.")] = False,
) -> Work:
    """
    Add a new random key to a file of signing keys; the key is not printed.

    The first key of the file signs, and all keys verify. So a key that you add later only verifies. Once every program
    has it, move its line to the top of the file to sign with it.
    """
    from deploy.command import signing_keys

    return lambda: signing_keys.add(file, if_none=if_none)
