"""
Remove from the environment of the image what no program uses: `python slim.py`, with the environment's own Python.

It runs while the image is built. The packages stay as they are installed, without data for other languages and for
other services of AWS, and without commands that are not ours.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import babel
import botocore

from consumers.notices.locales import LANGUAGES

COMMANDS = ("pause-notifications", "python")
"""What stays in bin: our command, and Python under all its names."""

CLIENTS = ("cloudwatch", "sesv2", "sns", "sqs")
"""The services of AWS that our programs call."""

CREDENTIALS = ("signin", "sso", "sso-oidc", "sts")
"""Those that botocore calls to find credentials."""


def unused(environment: Path) -> Iterator[Path]:
    """Yield the files and folders that no program uses."""
    locales = ("root", *LANGUAGES)
    for path in _beside(babel, "locale-data").glob("*.dat"):
        if path.stem.split("_")[0] not in locales:
            yield path
    yield from _folders_but(_beside(botocore, "data"), {*CLIENTS, *CREDENTIALS})
    for path in (environment / "bin").iterdir():
        if not path.name.startswith(COMMANDS):
            yield path


def _beside(package: object, folder: str) -> Path:
    return Path(str(package.__file__)).parent / folder  # type: ignore[attr-defined]  # a module of files has one


def _folders_but(folder: Path, kept: Collection[str]) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.is_dir() and path.name not in kept)


def main() -> None:
    """Remove them."""
    for path in list(unused(Path(sys.prefix))):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


if __name__ == "__main__":
    main()
