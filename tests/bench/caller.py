"""REST callers in their own process: a fixed number of calls a second, each begun when it is due (open loop).

``python -m tests.bench.caller`` reads orders from its standard input, one JSON line each, and writes the result of each
as one line: `{"address": "http://...", "rate": 50, "seconds": 4, "first": 0, "mentors": 500}`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import uvloop

from tests.bench.cluster import BenchFailed
from tests.load import Load, of_two_recipients
from tests.processes import ROOT

_CALL_SECONDS = 35.0
_PREFIX = "/api/v1/pause-notifications"


@dataclass(frozen=True)
class Answered:
    """The answers at one rate."""

    statuses: Counter[int]
    """By status; 0 is a call without an answer."""
    milliseconds: list[float]
    """From when a call was due to its answer, in the order in which the calls were due."""
    late_ms: float
    """The longest delay of a call's begin; it is large if this process itself could not keep up."""

    @property
    def all_ok(self) -> bool:
        """Return whether every call was answered 200."""
        return self.statuses.keys() == {200}

    def percentile(self, percent: float) -> float:
        """Return the milliseconds within which this percentage of callers had an answer."""
        ordered = sorted(self.milliseconds)
        return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


class Callers:
    """The process of the callers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._called = 0

    async def call(self, address: str, rate: float, seconds: float, mentors: int) -> Answered:
        """Call *address* at *rate*, each time about the next mentor; raise BenchFailed if the process ends."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"address": address, "rate": rate, "seconds": seconds, "first": self._called, "mentors": mentors}
        self._called += max(round(rate * seconds), 1)
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        async with asyncio.timeout(seconds + _CALL_SECONDS + 10):
            line = await self._process.stdout.readline()
        if not line:
            raise BenchFailed("the callers' process has ended")
        told = json.loads(line)
        statuses = Counter({int(status): count for status, count in told["statuses"].items()})
        return Answered(statuses, told["milliseconds"], told["late_ms"])


@asynccontextmanager
async def callers() -> AsyncIterator[Callers]:
    """Run the process of the callers until the context ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.bench.caller"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=16 * 1024 * 1024,
    )
    try:
        yield Callers(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()  # closes the pipes, too


# -- in the process itself ---------------------------------------------------------------------------------------


async def _serve() -> None:
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=_CALL_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await _calls(session, **json.loads(line))), flush=True)  # noqa: T201 - what the bench reads


async def _calls(
    session: aiohttp.ClientSession, address: str, rate: float, seconds: float, first: int, mentors: int
) -> Any:
    load = Load(1, mentors=mentors, kinds=of_two_recipients(), name=f"call-{time.time_ns():x}")
    count, late = max(round(rate * seconds), 1), 0.0
    answered: list[tuple[int, float]] = [(0, 0.0)] * count

    async def one(n: int, due: float) -> None:
        status = await _call(session, address, load, first + n)
        answered[n] = status, (time.perf_counter() - due) * 1000

    began = time.perf_counter()
    async with asyncio.TaskGroup() as calling:
        for n in range(count):
            due = began + n / rate
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            late = max(late, time.perf_counter() - due)
            calling.create_task(one(n, due))
    statuses = Counter(status for status, _ in answered)
    return {"statuses": statuses, "milliseconds": [ms for _, ms in answered], "late_ms": late * 1000}


async def _call(session: aiohttp.ClientSession, address: str, load: Load, n: int) -> int:
    """Call once, with a new key: without one, a second call about a mentor counts as a retry."""
    kind = load.kind(n)
    headers = {"Idempotency-Key": load.event_id(n)}
    body = {**kind.example, "mentor_id": load.mentor_id(n)}
    try:
        async with session.post(f"{address}{_PREFIX}/{kind.name}", json=body, headers=headers) as answer:
            await answer.read()
            return answer.status
    except (aiohttp.ClientError, TimeoutError):
        return 0


def main() -> None:
    """Execute orders until the input ends."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())


if __name__ == "__main__":
    main()
