"""Walk drills: ``python -m tests.drills NAME``."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.local.kafka.errors import BrokerError
from tests.drills import page
from tests.drills.drills import DRILLS
from tests.drills.running import DrillFailed, running
from tests.drills.walk import Drill, Figures, as_json, walk
from tests.machine import machine


def drills(
    names: Annotated[list[str] | None, typer.Argument(help="Drills by name; all without one.")] = None,
    *,
    listed: Annotated[bool, typer.Option("--list", help="Name the drills and end.")] = False,
    report: Annotated[Path, typer.Option(help="Where the figures go, beside those of other drills.")] = Path(
        "drills-report.json"
    ),
    write: Annotated[bool, typer.Option("--write", help="Write the report's figures into the page.")] = False,
    together: Annotated[
        bool, typer.Option("--together", help="Walk them on one `make run`, which starts only once.")
    ] = False,
    keep: Annotated[Path | None, typer.Option(help="Keep all data and logs in this folder.")] = None,
) -> None:
    """Walk drills one by one, each on a `make run` of its own; exit with 1 if one does not go as told."""
    if listed:
        for drill in DRILLS.values():
            typer.echo(f"{drill.name:<20} {drill.title}")
        return
    unknown = set(names or ()) - DRILLS.keys()
    if unknown:
        raise typer.BadParameter(f"no such drill: {', '.join(sorted(unknown))}; known are {', '.join(DRILLS)}")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)
    failed = False
    wanted = [DRILLS[name] for name in names or DRILLS]
    for some in [wanted] if together else [[drill] for drill in wanted]:
        try:
            asyncio.run(_walk(some, keep, report))
        except* (DrillFailed, BrokerError) as errors:
            typer.echo(f"FAILED: {errors.exceptions[0]}", err=True)
            failed = True
    if write:
        page.write(json.loads(report.read_text(encoding="utf-8")))
    raise typer.Exit(failed)


async def _walk(drills: list[Drill], keep: Path | None, report: Path) -> None:
    """Walk drills on one stack, and put the figures of each into the report."""
    with tempfile.TemporaryDirectory(prefix="drill-") as temporary:
        folder = Path(temporary) if keep is None else keep / drills[0].name
        folder.mkdir(parents=True, exist_ok=True)
        typer.echo(f"Starting everything for {', '.join(drill.name for drill in drills)} ...")
        async with running(folder.resolve()) as stand:
            for drill in drills:
                _note(report, await walk(drill, stand, typer.echo))


def _note(report: Path, figures: Figures) -> None:
    """Put the figures of a walk into the report, in place of earlier ones of the same drill."""
    known: dict[str, Any] = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {"drills": {}}
    known["at"], known["machine"] = datetime.now(UTC).isoformat(timespec="seconds"), machine()
    known["drills"][figures.name] = as_json(figures)
    report.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(drills)
