"""Floor (a): how fast one replica works a backlog off, and what that costs; likewise the plain peer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.bench.ground import BenchFailed, Ground, Started
from tests.bench.processes import Stopwatch, Used, memory_mb
from tests.load import Load

MAILS_PER_EVENT = 2
_LOOK_EVERY_SECONDS = 0.1
_STANDSTILL_SECONDS = 60.0

Progress = Callable[[float], object]


@dataclass(frozen=True)
class Drained:
    """A backlog worked off."""

    events_per_second: float
    cpu_per_1000_sends: float
    peak_mb: float
    after_mb: float
    most_in_flight: int
    used: Used


async def publish(ground: Ground, name: str, load: Load, progress: Progress) -> Any:
    """Publish the whole load to new topics, and give them."""
    topics = await ground.fresh(name, load)
    done = 0

    def acknowledged(*_: object) -> None:
        nonlocal done
        done += 1
        progress(done / load.events)

    async with ground.producer(topics) as producer:
        await producer.events(map(load.event, range(load.events)), on_acknowledged=acknowledged)
    return topics


async def drain(
    ground: Ground, running: AbstractAsyncContextManager[Started], load: Load, progress: Progress
) -> Drained:
    """Run one consumer on a backlog until SES has it all."""
    mails = load.events * MAILS_PER_EVENT
    async with running as consumer:
        before = await _sends(ground, consumer, 1, progress=lambda _: None)
        pids = {"consumer": consumer.pid, "broker": ground.broker_pid, "ses": ground.ses_pid}
        stopwatch = Stopwatch(pids)
        after = await _sends(ground, consumer, mails, progress=lambda sent: progress(sent / mails))
        used = stopwatch.read()
        sends = after["accepted"] - before["accepted"]
        cpu = used.by_process["consumer"] * used.seconds
        return Drained(
            events_per_second=after["accepted"] / MAILS_PER_EVENT / _seconds(after),
            cpu_per_1000_sends=cpu / sends * 1000,
            peak_mb=memory_mb(consumer.pid, "VmHWM"),
            after_mb=memory_mb(consumer.pid),
            most_in_flight=after["max_calls_in_flight"],
            used=used,
        )


async def _sends(ground: Ground, consumer: Started, mails: int, *, progress: Progress) -> dict[str, Any]:
    """Wait until SES has taken so many mails, and give its counters."""
    last, moved_at = 0, time.monotonic()
    while True:
        stats = await ground.stats()
        accepted = stats["accepted"]
        progress(accepted)
        if accepted >= mails:
            return stats
        if accepted > last:
            last, moved_at = accepted, time.monotonic()
        consumer.program.check_running()
        if time.monotonic() - moved_at > _STANDSTILL_SECONDS:
            raise BenchFailed(f"{accepted} of {mails} mails, and no more come. {consumer.program.log_tail()}")
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


def _seconds(stats: dict[str, Any]) -> float:
    first, last = (datetime.fromisoformat(stats[f"{which}_accepted_at"]) for which in ("first", "last"))
    return max((last - first).total_seconds(), 1e-3)
