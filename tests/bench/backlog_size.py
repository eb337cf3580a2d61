"""Measure whether the cost of an event depends on the size of the backlog; it must not."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

from runtime.kafka.topics import Topics
from tests.bench.backlog import EVENTS_IN_FLIGHT, MAILS_PER_EVENT, drain
from tests.bench.cluster import Environment
from tests.bench.figures import Figure, Show
from tests.bench.processes import memory_mb
from tests.bench.sizes import Sizes
from tests.load import Load, of_two_recipients

_WARM_EVENTS = 200

ABOUT = f"""\
The same number of events is drained from each backlog (all of a smaller one), measured after the first
{_WARM_EVENTS}; memory is that of the replica at the end. A backlog is refilled before the next round."""


@dataclass
class _Backlog:
    """A backlog that is kept from round to round, and refilled before each."""

    topics: Topics
    size: int
    published: int = 0
    finished: int = 0

    @property
    def missing(self) -> range:
        """Return the numbers of the missing events."""
        return range(self.published, self.finished + self.size)


class Backlogs:
    """Backlogs of all sizes; their topics are deleted at the end."""

    def __init__(self, env: Environment, sizes: Sizes) -> None:
        self._ground = env
        self._sizes = sizes
        self._stack = AsyncExitStack()
        self._backlogs: dict[int, _Backlog] = {}
        self._load = Load(max(sizes.backlogs), kinds=of_two_recipients())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def measure(self, number: int, show: Show) -> list[Figure]:
        """Drain the same number of events from each backlog; the first one changes from round to round."""
        sizes = list(self._sizes.backlogs)
        first = number % len(sizes)
        figures: dict[int, list[Figure]] = {}
        for size in sizes[first:] + sizes[:first]:
            figures[size] = await self._drained(size, show)
        costs = [figures[size][0].value for size in sizes]
        return [
            *(figure for size in sizes for figure in figures[size]),
            Figure("CPU of the largest over the smallest", "x", costs[-1] / max(costs[0], 1e-9)),
        ]

    async def _drained(self, size: int, show: Show) -> list[Figure]:
        backlog = await self._filled(size, show)
        env, events = self._ground, min(self._sizes.drained, size)
        await env.ses_as_at_start()
        in_flight = EVENTS_IN_FLIGHT * MAILS_PER_EVENT
        warm, mails = (MAILS_PER_EVENT * count for count in (min(_WARM_EVENTS, events // 2), events))
        async with env.replica(backlog.topics, ready=False, stop=True, max_sends_in_flight=in_flight) as replica:
            drained = await drain(env, replica, warm, mails, lambda sent: show(f"{size:,} events wait", sent / mails))
            resident = memory_mb(replica.pid)
        await env.quiet()
        backlog.finished += (await env.stats())["accepted"] // MAILS_PER_EVENT
        return [
            Figure(f"{size:,} wait: CPU of 1,000 sends", "s", drained.cpu_per_1000_sends),
            Figure(f"{size:,} wait: events", "/s", drained.events_per_second, more_is_better=True),
            Figure(f"{size:,} wait: memory", "MB", resident),
        ]

    async def _filled(self, size: int, show: Show) -> _Backlog:
        if size not in self._backlogs:
            topics = await self._stack.enter_async_context(self._ground.topics(f"wait-{size}", self._load))
            self._backlogs[size] = _Backlog(topics, size)
        backlog = self._backlogs[size]
        await self._ground.publish_events(backlog.topics, self._load, backlog.missing, show)
        backlog.published = max(backlog.missing.stop, backlog.published)
        return backlog
