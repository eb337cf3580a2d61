"""`pause-notifications local`: run everything on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import typer

from deploy.support.running import exit_with_error


def local(
    given: Mapping[str, int | None], *, ports_from: int | None, replicas: int, fresh: bool, data: Path | None
) -> None:
    """Run everything on this machine until Ctrl-C, at the ports that are *given* by name, and at others as usual."""
    try:
        from deploy.local.addresses import STATE, Ports  # noqa: PLC0415 - not in the installed package
        from deploy.local.stack import run_stack  # noqa: PLC0415 - likewise
    except ModuleNotFoundError as error:
        exit_with_error(_missing(error))
    ports = Ports() if ports_from is None else Ports.starting_at(ports_from)
    ports = replace(ports, **{name: port for name, port in given.items() if port is not None})
    raise typer.Exit(run_stack(ports, replicas=replicas, fresh=fresh, state=(data or STATE).resolve()))


def _missing(error: ModuleNotFoundError) -> str:
    if (error.name or "").startswith("deploy.local"):
        return "the local stack is not in the installed package: clone the repository, and run there: make run"
    return f"the local stack needs {error.name}: in the repository, run: make install"
