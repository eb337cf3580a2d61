"""Measure: ``python -m tests.bench``. Prints a table, writes a JSON report, and asserts nothing."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.local.brokers import BrokerError
from deploy.local.programs import StackFailed
from runtime.settings import PREFIX
from tests.bench import answers, backlog, report
from tests.bench.answers import Answered
from tests.bench.backlog import Drained
from tests.bench.ground import SES_SECONDS, BenchFailed, Ground, ground
from tests.bench.processes import pace_ms
from tests.bench.report import Figure, Report
from tests.load import Load, of_two_recipients

_CALLS = 200
_MENTORS = 500
_PIPE_WIDTH = 110


def main() -> int:
    """Measure, print, write the report, and give the exit code."""
    wanted = _parser().parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    console = Console()
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    try:
        measured = asyncio.run(_measure(wanted, console))
    except (BenchFailed, StackFailed, BrokerError) as error:
        print(f"bench: {error}", file=sys.stderr)  # noqa: T201 - for the person at the terminal
        return 1
    console.print(measured.table())
    console.print(measured.about(), highlight=False)
    wanted.json.write_text(json.dumps(measured.as_json(), indent=2) + "\n")
    console.print(f"All of it: {wanted.json}", highlight=False)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--events", type=_count, default=3000, help="events in the backlog (default %(default)s)")
    parser.add_argument(
        "--rounds", type=_count, default=1, help="how often everything is measured (default %(default)s)"
    )
    parser.add_argument("--calls", type=_count, default=_CALLS, help="REST calls (default %(default)s)")
    parser.add_argument("--json", type=Path, default=Path("bench-report.json"), metavar="FILE", help="the report")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return int(text)


async def _measure(wanted: argparse.Namespace, console: Console) -> Report:
    before = report.load_average()
    load = Load(wanted.events, mentors=max(_MENTORS, wanted.calls), kinds=of_two_recipients())
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, _bars(console) as bar:
        async with ground(Path(directory), tell=lambda _: None) as stage:
            rounds = [await _round(stage, load, wanted.calls, number, bar) for number in range(wanted.rounds)]
    settings = {"events": load.events, "mentors": load.mentors, "SES answers in": f"{SES_SECONDS * 1000:.0f} ms"}
    settings |= {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    return Report(report.machine(), settings, before, report.load_average(), rounds)


async def _round(
    stage: Ground, load: Load, calls: int, number: int, bar: Callable[[str], backlog.Progress]
) -> list[Figure]:
    name = f"r{number}"
    topics = await stage.fresh(f"{name}-rest", load)
    answered = await answers.call(stage, topics, load, calls, bar(f"{calls} REST calls"))
    drained = {}
    for who, running in (("replica", partial(stage.replica, ready=False)), ("peer", stage.peer)):
        topics = await backlog.publish(stage, f"{name}-{who}", load, bar(f"publishing for the {who}"))
        drained[who] = await backlog.drain(stage, running(topics), load, bar(f"{who} at work"))
    pace = Figure("pace: fixed work in Python", "ms", await asyncio.to_thread(pace_ms))
    return [*_of_backlog(drained["replica"], drained["peer"]), *_of_answers(answered, calls), pace]


def _of_backlog(replica: Drained, peer: Drained) -> list[Figure]:
    return [
        Figure("backlog: events", "/s", replica.events_per_second, peer.events_per_second),
        Figure("backlog: CPU of 1,000 sends", "s", replica.cpu_per_1000_sends, peer.cpu_per_1000_sends),
        Figure("backlog: most sends in flight", "", replica.most_in_flight, peer.most_in_flight),
        Figure("backlog: peak memory", "MB", replica.peak_mb, peer.peak_mb),
        Figure("backlog: memory after it", "MB", replica.after_mb, peer.after_mb),
        *(
            Figure(f"cores used by the {name}", "", replica.used.by_process[name], peer.used.by_process[name])
            for name in ("consumer", "broker", "ses")
        ),
        Figure("others' cores during the backlog", "", replica.used.by_others, peer.used.by_others),
    ]


def _of_answers(answered: Answered, calls: int) -> list[Figure]:
    return [
        Figure("REST beside SES: p50", "ms", answered.percentile(50)),
        Figure("REST beside SES: p95", "ms", answered.percentile(95)),
        Figure("REST beside SES: p99", "ms", answered.percentile(99)),
        Figure("REST beside SES: longest", "ms", answered.milliseconds[-1]),
        Figure(f"REST: answered 200 of {calls}", "", answered.statuses.get(200, 0)),
        Figure("others' cores during the calls", "", answered.by_others),
        *(Figure(f"{name}: start to ready", "s", seconds) for name, seconds in answered.ready_seconds.items()),
        *(Figure(f"{name}: memory idle", "MB", megabytes) for name, megabytes in answered.idle_mb.items()),
        *(Figure(f"{name}: memory after {calls} calls", "MB", mb) for name, mb in answered.after_mb.items()),
    ]


@contextmanager
def _bars(console: Console) -> Iterator[Callable[[str], backlog.Progress]]:
    """Show a bar per step on a terminal, and nothing in a pipe."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as progress:

        def bar(description: str) -> backlog.Progress:
            task = progress.add_task(description, total=1.0)
            return lambda done: progress.update(task, completed=done)

        yield bar


if __name__ == "__main__":
    sys.exit(main())
