"""`pause-notifications api-keys`: the keys of REST callers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.command.noun import Noun, Work

app = Noun("Manage the API keys of REST callers.")

File = Annotated[
    Path,
    typer.Option(
        "--file",
        envvar="PAUSE_NOTIFICATIONS_API_KEYS_FILE",
        help="File of API keys that the facades read.",
        metavar="FILE",
    ),
]
Name = Annotated[str, typer.Argument(help="Name of the caller; it becomes part of its events.")]


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
) -> Work:
    """
    Create a key for a caller, print it once, and append its digest to the file.

    The key itself is not stored: a caller who loses it needs a new one. A caller may have several keys, so you can hand
    out a new key before you remove the old one. Facades read the file again within seconds. The file is created if
    there is none.
    """
    from deploy.command import api_keys

    return lambda: api_keys.add(name, file, operator=operator)


@app.command("list")
@examples("pause-notifications api-keys list --file api-keys")
def list_(file: File) -> Work:
    """List the callers and the start of their keys' digests, in the order in which they were added."""
    from deploy.command import api_keys

    return lambda: api_keys.list_(file)


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
) -> Work:
    """
    Remove all keys of a caller, or one of them; facades reject them within seconds.

    The last key of the file cannot be removed: facades would keep the keys that they have rather than use none.
    """
    from deploy.command import api_keys

    return lambda: api_keys.remove(name, file, digest=digest)
