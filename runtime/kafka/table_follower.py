"""The follower of a compacted topic: it reads the topic to its end before the first event, and follows it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Generic, Protocol, Self, TypeVar

import structlog

from runtime.clock import Clock
from runtime.kafka.reader import Reader
from runtime.kafka.records import Place, Record
from runtime.kafka.retry import until_kafka_answers
from runtime.kafka.topic_watch import TopicRecreated

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Table(Protocol):
    """What the records of a compacted topic make: the last value of each key."""

    current: bool
    """Whether the table holds the whole topic. It does not while a recreated topic is read."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Return how many entries there are, by kind, for the log."""

    def take(self, key: bytes | None, value: bytes | None, /) -> None:
        """Apply a record of the topic: a null value removes the entry of its key."""

    def fresh(self) -> Self:
        """Return an empty table."""

    def replace(self, fresh: Self, /) -> None:
        """Take over the content of *fresh*, which holds the whole topic."""


TableT = TypeVar("TableT", bound=Table)


def _every(_record: Record) -> bool:
    return True


class TableFollower(Generic[TableT]):
    """
    Keeps a table up to date with its topic.

    A recreated topic is read into a fresh table, which replaces the old one at the end of the topic. Until then the
    table is not current: no decision and no e-mail may rely on it.
    """

    def __init__(
        self,
        table: TableT,
        reader: Reader,
        topic: str,
        clock: Clock,
        *,
        name: str,
        on_change: Callable[[], None],
        on_recreated: Callable[[TopicRecreated], None] = lambda _: None,
        counts: Callable[[Record], bool] = _every,
    ) -> None:
        """Log events under *name*. Leave out records that do not count."""
        self.table = table
        self.partitions = 0
        """How many partitions the topic has, once it was read."""
        self._reader = reader
        self._topic = topic
        self._clock = clock
        self._name = name
        self._on_change = on_change
        self._on_recreated = on_recreated
        self._counts = counts
        self._progress = asyncio.Condition()
        """Notified after each poll, and when the table becomes current or stops being so."""
        self._look_requested = asyncio.Event()
        self._next_look: asyncio.Future[None] | None = None

    @property
    def caught_up(self) -> bool:
        """Return whether the table holds the whole topic."""
        return self.table.current

    async def until_caught_up(self) -> None:
        """Wait until the table holds the whole topic."""
        await self.until(lambda: self.caught_up)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until *condition* of the table is met."""
        async with self._progress:
            await self._progress.wait_for(condition)

    async def read_to_now(self) -> None:
        """
        Wait until the table holds everything that the topic held at the time of the call.

        All callers that arrive while the follower looks for the topic's end share the next look.
        """
        if self._next_look is None:
            self._next_look = asyncio.get_running_loop().create_future()
            self._look_requested.set()
        await asyncio.shield(self._next_look)

    async def run(self) -> None:
        """Read from the beginning and follow, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._look_on_request())

    async def _follow(self) -> None:
        while True:
            try:
                await self._until_kafka_answers(self._read_whole)
                while True:
                    await self._poll(self.table)
            except TopicRecreated as changed:
                await self._mark_stale(changed)

    async def _mark_stale(self, changed: TopicRecreated) -> None:
        self.table.current = False
        event = f"{self._name}.topic_changed"
        log.error(event, topic=changed.topic, how=changed.how)
        self._on_recreated(changed)
        self._on_change()
        await self._notify()

    async def _read_whole(self) -> None:
        """Read the topic from its beginning to its end into a fresh table, which then replaces the old one."""
        places = await self._reader.partitions(self._topic)
        await self._reader.identify(self._topic)
        ends = await self._reader.end_offsets(places)
        self._reader.follow(await self._reader.beginning_offsets(places))
        fresh = self.table.fresh()
        while self._is_behind(ends):
            await self._poll(fresh)
        self.partitions = len(places)
        self.table.replace(fresh)
        self._on_change()
        await self._notify()
        event = f"{self._name}.read"
        log.info(event, **self.table.counts)

    async def _poll(self, table: TableT) -> None:
        """Apply new records to *table*. Raise TopicRecreated if the topic is another one."""
        fetched = await self._until_kafka_answers(partial(self._reader.poll, timeout_ms=1000))
        for records in fetched.records.values():
            for record in records:
                if self._counts(record):
                    table.take(record.key, record.value)
        if fetched.records and table is self.table:
            self._on_change()
        await self._notify()

    async def _look_on_request(self) -> None:
        while True:
            await self._look_requested.wait()
            self._look_requested.clear()
            look, self._next_look = self._next_look, None
            await self._look()
            if look is not None:
                look.set_result(None)

    async def _look(self) -> None:
        """Find the present end of the topic, and wait until the table has reached it."""
        while True:
            await self.until_caught_up()
            ends = await self._until_kafka_answers(self._ends)
            await self.until(partial(self._is_stale_or_at, ends))
            if self.caught_up:
                return

    async def _ends(self) -> dict[Place, int]:
        return await self._reader.end_offsets(await self._reader.partitions(self._topic))

    async def _until_kafka_answers(self, ask: Callable[[], Awaitable[T]]) -> T:
        return await until_kafka_answers(ask, self._clock, f"{self._name}.unreachable", reraise=(TopicRecreated,))

    async def _notify(self) -> None:
        async with self._progress:
            self._progress.notify_all()

    def _is_stale_or_at(self, ends: Mapping[Place, int]) -> bool:
        return not (self.caught_up and self._is_behind(ends))

    def _is_behind(self, ends: Mapping[Place, int]) -> bool:
        return any((self._reader.position(place) or 0) < end for place, end in ends.items())
