"""Measure how long REST callers wait, and the highest rate; a handler that calls boto3 itself beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

from deploy.local.ports import HOST, free_ports
from runtime.kafka.topics import Topics
from tests.bench.bare_client import alone_ms
from tests.bench.caller import Answered, Callers, callers
from tests.bench.cluster import SES_SECONDS, Environment, Started
from tests.bench.direct_handler import PORT
from tests.bench.figures import OURS, Figure, Show
from tests.bench.processes import memory_mb
from tests.bench.sizes import Sizes
from tests.load import Load, of_two_recipients

DIRECT = "handler + boto3"
_MENTORS = 2000
_WARM_UP = 50.0, 0.5
_KEEPS_UP_MS = SES_SECONDS * 1000 + 150
_IN_FLIGHT = 256

ABOUT = f"""\
A separate process begins each call when it is due, however slow the answers are (open loop); a wait counts from when
the call was due. The facade has one replica ({_IN_FLIGHT} sends in flight). The handler is one uvicorn process; it
sends both e-mails in parallel, and nothing is durable. SES answers in a little over {SES_SECONDS * 1000:.0f} ms; "over
SES" is beyond the time that a bare client needs, one call after another on one connection.
The highest rate is that at which all calls are answered 200, and half of the last quarter within
{_KEEPS_UP_MS:.0f} ms: no queue grows."""


@dataclass
class _Called:
    """The results of the callers of one address."""

    waits: dict[int, Answered] = field(default_factory=dict)
    highest: float = 0.0
    late_ms: float = 0.0
    ready_seconds: dict[str, float] = field(default_factory=dict)
    memory_mb: dict[str, float] = field(default_factory=dict)


async def measure(env: Environment, sizes: Sizes, number: int, show: Show) -> list[Figure]:
    """Call the facade and the handler; the first one changes from round to round."""
    order = [OURS, DIRECT] if number % 2 == 0 else [DIRECT, OURS]
    ses_ms = await alone_ms(env, sizes.bare_seconds)
    async with callers() as calling:
        called = {who: await _called(env, calling, who, sizes, show) for who in order}
    return [
        Figure("SES by itself", "ms", ses_ms),
        *(figure for who in (OURS, DIRECT) for figure in _figures(who, called[who], sizes, ses_ms)),
    ]


def _figures(who: str, one: _Called, sizes: Sizes, ses_ms: float) -> Iterator[Figure]:
    for rate, answered in one.waits.items():
        for percent in (50, 95, 99):
            yield Figure(f"p{percent} at {rate}/s", "ms", answered.percentile(percent), who)
            yield Figure(f"p{percent} at {rate}/s over SES", "ms", answered.percentile(percent) - ses_ms, who)
        share = answered.statuses[200] / max(answered.statuses.total(), 1) * 100
        yield Figure(f"answered 200 at {rate}/s", "%", share, who, more_is_better=True)
    yield Figure("highest rate", "/s", one.highest, who, more_is_better=True)
    yield Figure(f"latest that a call up to {max(sizes.calls)}/s was begun", "ms", one.late_ms, who)
    for program, seconds in one.ready_seconds.items():
        yield Figure(f"start to ready: {program}", "s", seconds, who)
    for program, megabytes in one.memory_mb.items():
        yield Figure(f"memory after it: {program}", "MB", megabytes, who)


async def _called(env: Environment, calling: Callers, who: str, sizes: Sizes, show: Show) -> _Called:
    load = Load(1, mentors=_MENTORS, kinds=of_two_recipients())
    async with (
        env.topics("rest", load) as topics,
        (_ours if who == OURS else _direct)(env, topics) as (address, programs),
    ):
        found = _Called(ready_seconds={name: program.seconds for name, program in programs.items()})
        await calling.call(address, *_WARM_UP, _MENTORS)
        for rate, seconds in sizes.calls.items():
            show(f"{rate} calls/s to {who}", len(found.waits) / len(sizes.calls))
            found.waits[rate] = await calling.call(address, rate, seconds, _MENTORS)
            found.late_ms = max(found.late_ms, found.waits[rate].late_ms)
        found.highest = await _highest(env, calling, address, sizes, lambda rate, done: show(f"{who}: {rate}", done))
        found.memory_mb = {name: memory_mb(program.pid) for name, program in programs.items()}
        return found


async def _highest(env: Environment, calling: Callers, address: str, sizes: Sizes, show: Show) -> float:
    """Return the highest rate: double it until calls queue up, then halve the difference a few times."""

    async def kept_up(rate: float) -> bool:
        show(f"is {rate:.0f}/s kept up with?", min(rate / sizes.highest_rate, 1.0))
        await env.quiet()
        return keeps_up(await calling.call(address, rate, sizes.step_seconds, _MENTORS))

    low, high = 0.0, float(max(sizes.calls))
    while high <= sizes.highest_rate and await kept_up(high):
        low, high = high, high * 2
    for _ in range(sizes.bisections if high <= sizes.highest_rate else 0):
        middle = (low + high) / 2
        low, high = (middle, high) if await kept_up(middle) else (low, middle)
    return low


def keeps_up(answered: Answered) -> bool:
    """Return whether all were answered 200, and the last callers waited little longer than SES takes."""
    last = answered.milliseconds[-max(len(answered.milliseconds) // 4, 1) :]
    return answered.all_ok and median(last) <= _KEEPS_UP_MS


@asynccontextmanager
async def _ours(env: Environment, topics: Topics) -> AsyncIterator[tuple[str, dict[str, Started]]]:
    (port,) = free_ports(1)
    settings = {"namespace": topics.namespace, "http_port": port}
    async with (
        env.running(["service"], settings=settings, probe="/readyz") as facade,
        env.replica(topics, max_sends_in_flight=_IN_FLIGHT) as replica,
    ):
        yield f"http://{HOST}:{port}", {"service": facade, "consumers": replica}


@asynccontextmanager
async def _direct(env: Environment, topics: Topics) -> AsyncIterator[tuple[str, dict[str, Started]]]:
    (port,) = free_ports(1)
    address, settings = f"http://{HOST}:{port}", {"namespace": topics.namespace}
    async with env.running(
        ["tests.bench.direct_handler"], settings=settings, environ={PORT: str(port)}, probe=f"{address}/livez"
    ) as program:
        yield address, {"service": program}
