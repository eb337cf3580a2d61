"""Measure how fast one replica drains a backlog, and its cost; plain peers beside it, one after another."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.bench.bare_client import bare_rate
from tests.bench.cluster import Environment, Started
from tests.bench.figures import OURS, OURS_NEWER, Figure, Show
from tests.bench.processes import Stopwatch, Used, memory_mb
from tests.bench.sizes import PEER_PROGRAMS, Sizes
from tests.chaos.peers.startup import IN_FLIGHT
from tests.load import Load, of_two_recipients
from tests.processes import ROOT

NEWER_PYTHON = ROOT / ".venv-3.13" / "bin" / "python"
"""An environment with the packages of requirements.lock; without it only one Python is measured."""
MAILS_PER_EVENT = 2
EVENTS_IN_FLIGHT = 128

ABOUT = f"""\
Events of two recipients are published first; then one process drains them, {EVENTS_IN_FLIGHT} events in flight.
Measured from the first e-mail that SES accepts to the last; peak memory from the start of the process.
The peers keep no ledger; FastStream with its defaults commits before it sends."""


@dataclass(frozen=True)
class Drained:
    """A drained backlog."""

    events_per_second: float
    cpu_per_1000_sends: float
    peak_mb: float
    most_in_flight: int
    used: Used


async def measure(env: Environment, sizes: Sizes, number: int, show: Show) -> list[Figure]:
    """Have each program drain its own backlog; the first one changes from round to round."""
    show("a bare client against SES", 0.0)
    bare = await bare_rate(env, sizes.bare_seconds)
    contenders = [OURS, *([OURS_NEWER] if NEWER_PYTHON.exists() else []), *sizes.peers]
    first = number % len(contenders)
    drained = {who: await _contend(env, who, sizes, show) for who in contenders[first:] + contenders[:first]}
    fastest = max(one.events_per_second for one in drained.values()) * MAILS_PER_EVENT
    return [
        *(figure for who in contenders for figure in _figures(who, drained[who])),
        Figure("bare signed client against SES", "sends/s", bare, more_is_better=True),
        Figure("a bare client over the fastest here", "x", bare / fastest, more_is_better=True),
    ]


def _figures(who: str, one: Drained) -> Iterator[Figure]:
    yield Figure("events", "/s", one.events_per_second, who, more_is_better=True)
    yield Figure("CPU of 1,000 sends", "s", one.cpu_per_1000_sends, who)
    yield Figure("peak memory", "MB", one.peak_mb, who)
    yield Figure("most sends in flight", "", one.most_in_flight, who, more_is_better=True)
    for name, cores in one.used.by_process.items():
        yield Figure(f"cores used: {name}", "", cores, who)
    yield Figure("cores used: others", "", one.used.by_others, who)


async def _contend(env: Environment, who: str, sizes: Sizes, show: Show) -> Drained:
    load = Load(sizes.events, kinds=of_two_recipients())
    async with env.topics("drain", load) as topics:
        await env.publish_events(topics, load, range(load.events), show)
        if who in {OURS, OURS_NEWER}:
            python = str(NEWER_PYTHON) if who == OURS_NEWER else sys.executable
            in_flight = EVENTS_IN_FLIGHT * MAILS_PER_EVENT
            running = env.replica(topics, ready=False, python=python, max_sends_in_flight=in_flight)
        else:
            told, environ = {"namespace": topics.namespace}, {IN_FLIGHT: str(EVENTS_IN_FLIGHT)}
            running = env.running([PEER_PROGRAMS[who]], settings=told, environ=environ)
        async with running as consumer:
            mails = load.events * MAILS_PER_EVENT
            return await drain(env, consumer, 1, mails, lambda sent: show(f"{who} drains", sent / mails))


async def drain(env: Environment, consumer: Started, warm: int, mails: int, show: Any) -> Drained:
    """Measure a consumer from when SES has accepted *warm* e-mails until it has accepted *mails*."""
    before = await env.sends(warm, [consumer], lambda _: None)
    stopwatch = Stopwatch({"consumer": consumer.pid, **env.pids})
    after = await env.sends(mails, [consumer], show)
    used = stopwatch.read()
    sends = max(after["accepted"] - before["accepted"], 1)
    return Drained(
        events_per_second=(after["accepted"] - before["accepted"]) / MAILS_PER_EVENT / _seconds(before, after),
        cpu_per_1000_sends=used.by_process["consumer"] * used.seconds / sends * 1000,
        peak_mb=memory_mb(consumer.pid, "VmHWM"),
        most_in_flight=after["max_calls_in_flight"],
        used=used,
    )


def _seconds(before: dict[str, Any], after: dict[str, Any]) -> float:
    first, last = (datetime.fromisoformat(stats["last_accepted_at"]) for stats in (before, after))
    return max((last - first).total_seconds(), 1e-3)
