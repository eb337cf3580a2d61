"""Inject faults into everything and count the e-mails: ``python -m tests.chaos``."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from deploy.local.kafka.cluster import BrokerError
from tests.chaos.cluster import shared_cluster
from tests.chaos.page import page
from tests.chaos.report import as_json, table
from tests.chaos.scenario import Result, Scenario, play
from tests.chaos.scenarios import SCENARIOS, comparison
from tests.chaos.side_by_side import side_by_side

_PIPE_WIDTH = 120
_AT_ONCE = 4


def chaos(
    names: Annotated[list[str] | None, typer.Argument(help="Scenarios by name; all without one.")] = None,
    *,
    seed: Annotated[int | None, typer.Option(help="The same seed injects the same faults in the same order.")] = None,
    short: Annotated[bool, typer.Option("--short", help="The form that the test suite runs.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Name the scenarios and end.")] = False,
    report: Annotated[Path, typer.Option(help="Where the JSON goes.")] = Path("chaos-report.json"),
    page_file: Annotated[Path, typer.Option("--page", help="Where the page for a browser goes.")] = Path(
        "chaos-report.html"
    ),
    peers: Annotated[bool, typer.Option(help="Run plain peers, too, in the scenarios that have them.")] = True,
    keep: Annotated[Path | None, typer.Option(help="Keep all logs in this directory.")] = None,
) -> None:
    """
    Play scenarios on a cluster of three brokers, print a table, and exit with 1 if a limit was not kept.

    It also exits with 1 if a plain peer could not be played; the results of peers are only shown.
    """
    console = Console()
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    if listed:
        for scenario in SCENARIOS.values():
            console.print(f"{scenario.number:>3}  {scenario.name:<20} {scenario.title}", highlight=False)
        return
    wanted = _wanted(names or [])
    seed = random.randrange(1_000_000) if seed is None else seed
    console.print(f"Seed {seed}: repeat with --seed {seed}", highlight=False)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        with _directory(keep) as directory:
            results, others = asyncio.run(_play(wanted, seed, directory, console, full=not short, peers=peers))
    except BrokerError as error:
        typer.echo(f"chaos: {error}", err=True)
        raise typer.Exit(3) from None
    console.print(table(results, others))
    now = datetime.now(UTC)
    told = {"at": now.isoformat(timespec="seconds"), **as_json(results, others)}
    report.write_text(json.dumps(told, indent=2) + "\n")
    page_file.write_text(page(told, at=now), encoding="utf-8")
    console.print(f"The whole report: {report}; the page: {page_file}", highlight=False)
    troubled = [result for theirs in others.values() for result in theirs if result.trouble]
    raise typer.Exit(0 if all(result.passed for result in results) and not troubled else 1)


def _wanted(names: list[str]) -> list[Scenario]:
    unknown = sorted(set(names) - SCENARIOS.keys())
    if unknown:
        raise typer.BadParameter(f"no such scenario: {', '.join(unknown)}; known are {', '.join(SCENARIOS)}")
    return [SCENARIOS[name] for name in names] or list(SCENARIOS.values())


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        yield Path(directory)


async def _play(
    scenarios: list[Scenario], seed: int, directory: Path, console: Console, *, full: bool, peers: bool
) -> tuple[list[Result], dict[str, list[Result]]]:
    """
    Play light scenarios in parallel and the rest one by one; then those that peers play, too.

    Those run in parallel for each program, ours first, under the same conditions.
    """
    results: dict[str, Result] = {}
    others: dict[str, list[Result]] = {}
    compared = [scenario for scenario in scenarios if scenario in comparison.SCENARIOS]
    with _telling(console) as tell:
        async with shared_cluster(directory, tell, quick_start=not full) as shared:

            async def ours(scenario: Scenario) -> None:
                results[scenario.name] = await play(shared, scenario, seed, full=full)
                _summarize(results[scenario.name], console)

            own = [scenario for scenario in scenarios if scenario not in compared]
            by_themselves = [scenario for scenario in own if scenario.alone or (full and scenario.heavy)]
            by_themselves.sort(key=lambda one: one.heavy)  # brokers restart faster before there are a million records
            await side_by_side([scenario for scenario in own if scenario not in by_themselves], ours, most=_AT_ONCE)
            await side_by_side(by_themselves, ours, most=1)
            await side_by_side(compared, ours, most=len(compared) or 1)
            for peer in comparison.PEERS if peers and compared else ():
                playing = (play(shared, scenario, seed, full=full, peer=peer) for scenario in compared)
                others[peer.name] = await asyncio.gather(*playing)
    return [results[scenario.name] for scenario in scenarios], others


def _summarize(result: Result, console: Console) -> None:
    verdict = "passed" if result.passed else "FAILED"
    console.print(f"{result.scenario.name}: {verdict} in {result.seconds:.0f} s {result.trouble}", highlight=False)
    for figure in result.figures:
        if not figure.met:
            console.print(f"  {figure.name}: {figure.value:g}, allowed {figure.limit:g} {figure.why}", highlight=False)


@contextmanager
def _telling(console: Console) -> Iterator[Callable[[str], object]]:
    """Show the progress on a terminal; in a pipe nothing."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("starting")
        yield lambda line: progress.update(task, description=line)


def main() -> None:
    """Run the command line."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(help=__doc__)(chaos)
    app(prog_name="python -m tests.chaos")


if __name__ == "__main__":
    main()
