"""Floors (b) to (d): how long a REST caller waits beside SES itself, and what the programs need to stand there."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runtime.kafka.topics import Topics
from tests.bench.ground import SES_SECONDS, Ground
from tests.bench.processes import Stopwatch, memory_mb
from tests.load import Load

PATH = "/api/v1/pause-notifications/pause-activated"


@dataclass(frozen=True)
class Answered:
    """What callers got, and what the programs needed for it."""

    statuses: dict[int, int]
    milliseconds: list[float]
    """Of each answer, less what SES itself takes; ascending."""
    ready_seconds: dict[str, float]
    idle_mb: dict[str, float]
    after_mb: dict[str, float]
    by_others: float
    """Cores that other processes took meanwhile."""

    def percentile(self, percent: float) -> float:
        """Give the milliseconds within which so many per cent of the callers had their answer."""
        return self.milliseconds[min(int(len(self.milliseconds) * percent / 100), len(self.milliseconds) - 1)]


async def call(ground: Ground, topics: Topics, load: Load, calls: int, progress: Callable[[float], object]) -> Answered:
    """Start both programs on empty topics, and call one after another, each for another mentor."""
    async with ground.facade(topics) as (facade, caller), ground.replica(topics) as replica:
        programs = {"service": facade, "consumers": replica}
        idle = {name: memory_mb(program.pid) for name, program in programs.items()}
        statuses: Counter[int] = Counter()
        waited: list[float] = []
        pids = {name: program.pid for name, program in programs.items()}
        stopwatch = Stopwatch({**pids, "broker": ground.broker_pid, "ses": ground.ses_pid})
        for n in range(calls):
            began = time.perf_counter()
            answer = await caller.post(PATH, json=_body(load, n))
            waited.append((time.perf_counter() - began - SES_SECONDS) * 1000)
            statuses[answer.status_code] += 1
            progress((n + 1) / calls)
        by_others = stopwatch.read().by_others
        return Answered(
            statuses=dict(statuses),
            milliseconds=sorted(waited),
            ready_seconds={name: program.seconds for name, program in programs.items()},
            idle_mb=idle,
            after_mb={name: memory_mb(program.pid) for name, program in programs.items()},
            by_others=by_others,
        )


def _body(load: Load, n: int) -> dict[str, Any]:
    return {
        "mentor_id": load.mentor_id(n),
        "expected_return_date": "2026-05-01T00:00:00Z",
        "pause_reason": "personal_leave",
    }
