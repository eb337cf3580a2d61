"""Measure whether more replicas send more; SES answers slowly here, so that this machine is not the limit."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from tests.bench.cluster import Environment
from tests.bench.figures import Figure, Show
from tests.bench.processes import Stopwatch
from tests.bench.replicas import Replicas
from tests.bench.sizes import Sizes
from tests.load import Load, of_two_recipients

_SES_SECONDS = 0.2
_IN_FLIGHT = 16
_CEILING = _IN_FLIGHT / _SES_SECONDS
_BEFORE_SECONDS = 40.0
"""The longest time from the first e-mail until all share the partitions; the backlog is larger by it."""
_FLOWING_SECONDS = 1.0

ABOUT = f"""\
SES answers in {_SES_SECONDS * 1000:.0f} ms, and a replica has {_IN_FLIGHT} sends in flight, so one replica can make at
most {_CEILING:.0f} sends/s. The CPU of this machine is not the limit; the cores used are listed, too."""


async def measure(env: Environment, sizes: Sizes, _number: int, show: Show) -> list[Figure]:
    """Run one replica, then two, then more, each number with its own backlog."""
    rates: dict[int, float] = {}
    figures = []
    for count in sizes.replicas:
        rates[count], cores = await _rate(env, count, sizes, show)
        name = "1 replica" if count == 1 else f"{count} replicas"
        figures += [
            Figure(f"{name}: sends", "/s", rates[count], more_is_better=True),
            Figure(f"{name}: of the most possible", "%", rates[count] / _CEILING / count * 100, more_is_better=True),
            Figure(f"{name}: cores used by all of it", "", cores),
        ]
    one = rates[sizes.replicas[0]] / sizes.replicas[0]
    return [
        *figures,
        *(
            Figure(f"{count} replicas over one", "x", rates[count] / one, more_is_better=True)
            for count in sizes.replicas[1:]
        ),
    ]


async def _rate(env: Environment, count: int, sizes: Sizes, show: Show) -> tuple[float, float]:
    events = int(count * _CEILING / 2 * (sizes.scaling_seconds + _BEFORE_SECONDS))
    load = Load(events, kinds=of_two_recipients())
    async with env.topics("scaling", load) as topics, AsyncExitStack() as stack:
        await env.ses_as_at_start(latency_ms=_SES_SECONDS * 1000)
        await env.publish_events(topics, load, range(load.events), show)
        replicas = Replicas(env, topics, stack, stop=False, max_sends_in_flight=_IN_FLIGHT)
        await replicas.start(count)
        await asyncio.sleep(_FLOWING_SECONDS)
        show(f"{count} replicas at work", count / max(sizes.replicas))
        pids = {f"replica-{n}": one.pid for n, one in enumerate(replicas.all)}
        stopwatch, before, began = Stopwatch(pids | env.pids), await env.stats(), time.monotonic()
        await asyncio.sleep(sizes.scaling_seconds)
        after, seconds = await env.stats(), time.monotonic() - began
        used = stopwatch.read()
        return (after["accepted"] - before["accepted"]) / seconds, sum(used.by_process.values())
