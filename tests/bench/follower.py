"""Measure what it costs a facade to follow dispatches that it did not start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx

from deploy.local.ports import HOST, free_ports
from service.answers import BASE_PATH
from service.prefer_header import MAX_WAIT_SECONDS
from tests.bench.cluster import BenchFailed, Environment, Started
from tests.bench.cold_start import ended
from tests.bench.figures import Figure, Show
from tests.bench.processes import cpu_seconds, memory_mb
from tests.bench.sizes import Sizes
from tests.load import Load, Prepared, of_two_recipients
from tests.waiting import until

_READ_SECONDS = 60.0
_LOOK_EVERY_SECONDS = 0.1
_MICROSECONDS = 1e6

_PER_SECOND = 2000
_AT_ONCE = 40

ABOUT = f"""\
A facade follows the dispatches topic while {_PER_SECOND:,} records a second are appended that nobody waits for: every
facade reads what all replicas write. Measured is the CPU time of the facade's process, from before the first record
until it has read all: once while no caller waits, and once while one waits for something else."""


async def measure(env: Environment, sizes: Sizes, _number: int, show: Show) -> list[Figure]:
    """Append final dispatches of two recipients, and measure the facade until it has read them."""
    load = Load(sizes.followed, kinds=of_two_recipients())
    async with AsyncExitStack() as stack:
        topics = await stack.enter_async_context(env.topics("followed", Load(1)))
        (port,) = free_ports(1)
        settings = {"namespace": topics.namespace, "http_port": port}
        facade = await stack.enter_async_context(env.running(["service"], settings=settings, probe="/readyz"))

        async def follow(already_read: int) -> float:
            began = cpu_seconds(facade.pid)
            await env.publish(_paced(ended(load, topics)), show, load.events)
            await _until_read(facade, already_read + load.events)
            return (cpu_seconds(facade.pid) - began) / load.events * _MICROSECONDS

        alone = await follow(0)
        async with _a_caller(f"http://{HOST}:{port}"):
            await until(lambda: _waits(facade), within=_READ_SECONDS, what="a caller who waits")
            beside = await follow(load.events)
        return [
            Figure("followed", "µs a record", alone),
            Figure("followed while a caller waits", "µs a record", beside),
            Figure("memory after it", "MB", memory_mb(facade.pid)),
        ]


@asynccontextmanager
async def _a_caller(facade: str) -> AsyncIterator[None]:
    """Have a caller wait as long as the context lasts, for an event that no replica takes."""
    async with httpx.AsyncClient(trust_env=False, timeout=2 * MAX_WAIT_SECONDS) as client:
        address, prefer = f"{facade}{BASE_PATH}/pause-lifted", {"Prefer": f"wait={MAX_WAIT_SECONDS}"}
        call = asyncio.create_task(client.post(address, json={"mentor_id": "nobody"}, headers=prefer))
        try:
            yield
        finally:
            call.cancel()
            await asyncio.wait([call])


async def _waits(facade: Started) -> bool:
    return await facade.metric("waiting_callers") == 1


def _paced(records: Iterable[Prepared]) -> Iterator[Prepared]:
    """Yield the records at a fixed rate; the thread that publishes them sleeps in between."""
    began = time.monotonic()
    for number, record in enumerate(records):
        if number % _AT_ONCE == 0:
            time.sleep(max(began + number / _PER_SECOND - time.monotonic(), 0))
        yield record


async def _until_read(facade: Started, count: int) -> None:
    try:
        async with asyncio.timeout(_READ_SECONDS):
            while await facade.metric("dispatch_records_total") < count:  # noqa: ASYNC110 - another process
                await asyncio.sleep(_LOOK_EVERY_SECONDS)
    except TimeoutError:
        raise BenchFailed(f"the facade has not read {count} records. {facade.program.log_tail()}") from None
