"""Measure this service beside plain peers, and print it: ``python -m tests.bench``. It asserts nothing."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from deploy.local.kafka.cluster import BrokerError
from deploy.local.programs import StackFailed
from runtime.settings import PREFIX
from tests.bench.backlog import NEWER_PYTHON
from tests.bench.cluster import SES_SECONDS, BenchFailed, Environment, with_broker
from tests.bench.figures import Show
from tests.bench.measurements import MEASUREMENTS, measure, steps
from tests.bench.plot import svg
from tests.bench.progress import bars
from tests.bench.report import Report, load_average
from tests.bench.sizes import QUICK, WHOLE, Sizes
from tests.processes import ROOT

_PIPE_WIDTH = 140
_PICTURE = ROOT / "docs" / "bench.svg"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write the report, and return the exit code."""
    wanted = _parser().parse_args(arguments)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    console = Console()
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    try:
        report = asyncio.run(_measured(wanted, console))
    except (BenchFailed, StackFailed, BrokerError) as error:
        print(f"bench: {error}", file=sys.stderr)  # noqa: T201 - for the person at the terminal
        return 1
    for part in report.parts:
        console.print(part.table())
        console.print(part.about, "", highlight=False)
    console.print(report.about(), highlight=False)
    wanted.json.write_text(json.dumps(report.as_json(), indent=2) + "\n")
    console.print(f"The whole report: {wanted.json}", highlight=False)
    picture = wanted.svg or (_PICTURE if _is_whole(wanted) else None)
    if picture is not None:
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_text(svg(report.as_json()))
        console.print(f"The picture: {picture}", highlight=False)
    return 0


def _is_whole(wanted: argparse.Namespace) -> bool:
    return not wanted.quick and set(wanted.only) == set(MEASUREMENTS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--only", type=_parts, default=tuple(MEASUREMENTS), metavar="A,B", help=f"of {', '.join(MEASUREMENTS)}"
    )
    parser.add_argument(
        "--rounds", type=_count, default=3, help="how often each varying part is measured (%(default)s)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small numbers and one round: a first look, not a measurement"
    )
    parser.add_argument("--json", type=Path, default=Path("bench-report.json"), metavar="FILE", help="the report")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="the picture; a whole run writes docs/bench.svg")
    return parser


def _parts(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in MEASUREMENTS]:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}")
    return names


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return int(text)


async def _measured(wanted: argparse.Namespace, console: Console) -> Report:
    sizes, rounds = (QUICK, 1) if wanted.quick else (WHOLE, wanted.rounds)
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, bars(console, steps(wanted.only, rounds)) as bar:
        async with with_broker(Path(directory)) as env:
            return await run(env, sizes, wanted.only, rounds, *bar)


async def run(
    env: Environment, sizes: Sizes, names: Sequence[str], rounds: int, begin: Callable[[str], None], show: Show
) -> Report:
    """Measure these parts, and return the report."""
    settings = {"SES answers in": f"{SES_SECONDS * 1000:.0f} ms"}
    if not NEWER_PYTHON.exists():
        settings["Python 3.13"] = "not measured, there is no .venv-3.13"
    settings |= {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    report, began = Report(settings, []), time.monotonic()
    report.parts += await measure(env, sizes, names, rounds, begin, show)
    report.seconds, report.load_after = time.monotonic() - began, load_average()
    return report


if __name__ == "__main__":
    sys.exit(main())
