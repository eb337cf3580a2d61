"""Follows the dispatches of all partitions, so that whoever waits here learns what any replica wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import structlog

from runtime.backoff import backoff_seconds
from runtime.clock import Clock
from runtime.kafka.fetching import Fetched
from runtime.kafka.records import Place, Record
from schemas.dispatch import DISPATCHES_TOPIC, Dispatch, parse_dispatch
from service.metrics import Metrics

log = structlog.get_logger(__name__)

_BACKOFF_BASE_SECONDS = 0.2
_BACKOFF_MOST_SECONDS = 5.0


class Feed(Protocol):
    """What is followed: `runtime.kafka.reader.Reader`, or a fake of it."""

    async def partitions(self, topic: str) -> tuple[Place, ...]:
        """Return the places of a topic."""
        ...

    async def identify(self, topic: str) -> str | None:
        """Take a topic for what it is now, and return its id when that is known; `poll` raises once it is another."""
        ...

    async def beginning_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return the offset of the first record still kept in each place."""
        ...

    async def end_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return the offset behind the last record of each place."""
        ...

    def follow(self, positions: Mapping[Place, int]) -> None:
        """Follow these places from these offsets."""
        ...

    def position_in(self, place: Place) -> int:
        """Return the next offset to be read."""
        ...

    async def poll(self) -> Fetched:
        """Return what came."""
        ...


OpenFeed = Callable[[], AbstractAsyncContextManager[Feed]]


class Follower:
    """
    Hands every dispatch record to *take*, from the ends of the partitions as they were at the start.

    The ends are taken and sought: a reader that starts at "latest" would miss what is written before its first fetch.
    After an error it goes on where it was, so that nothing is lost while Kafka is away. A topic made anew is handed on
    from its beginning: whoever waits may find the outcome there.
    """

    def __init__(
        self,
        topic: str,
        open_feed: OpenFeed,
        take: Callable[[Dispatch], None],
        *,
        clock: Clock,
        random: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._topic = topic
        self._open_feed = open_feed
        self._take = take
        self._clock = clock
        self._random = random
        self._metrics = metrics
        self._next: dict[Place, int] = {}
        self._failures = 0
        self._topic_id: str | None = None
        self.positioned = False

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                async with self._open_feed() as feed:
                    await self._position(feed)
                    await self._follow(feed)
            except Exception as error:  # noqa: BLE001 - whatever it was, callers go on waiting for records
                self._failures += 1
                log.warning("dispatches.follow.failed", error=type(error).__name__, failures=self._failures)
            finally:
                self._say_positioned(positioned=False)
            await self._clock.sleep(self._pause())

    async def _position(self, feed: Feed) -> None:
        places = await feed.partitions(self._topic)
        if not places:
            raise LookupError("the dispatches topic has no partitions")
        topic_id = await feed.identify(self._topic)
        ends = await feed.end_offsets(places)
        if topic_id is not None and self._topic_id not in (None, topic_id):
            self._metrics.topic_changes.labels(topic=DISPATCHES_TOPIC).inc()
            log.error("dispatches.topic_changed", topic=self._topic)
            self._next = await feed.beginning_offsets(places)
        self._topic_id = topic_id or self._topic_id
        # Never behind the end, which a topic made anew or cut off may have before that.
        self._next = {place: min(self._next.get(place, end), end) for place, end in ends.items()}
        feed.follow(self._next)
        self._say_positioned(positioned=True)
        log.info("dispatches.follow.positioned", partitions=len(places))

    async def _follow(self, feed: Feed) -> None:
        while True:
            self._hand_on(await feed.poll())
            self._next = {place: feed.position_in(place) for place in self._next}
            self._failures = 0

    def _hand_on(self, fetched: Fetched) -> None:
        for batch in fetched.unreadable:
            self._metrics.unreadable.inc()
            log.error(
                "dispatches.batch.unreadable",
                partition=batch.place.partition,
                first=batch.first,
                next_offset=batch.next_offset,
                error=batch.error,
            )
        for records in fetched.records.values():
            for record in records:
                # Noted before it is handed on, so that one that breaks us is not met again.
                self._next[record.place] = record.offset + 1
                self._hand_on_record(record)

    def _hand_on_record(self, record: Record) -> None:
        dispatch = parse_dispatch(record.value)
        if dispatch is None:
            self._metrics.dispatch_records.labels("no_dispatch").inc()
            log.warning("dispatches.record.unknown", partition=record.partition, offset=record.offset)
            return
        self._metrics.dispatch_records.labels("read").inc()
        self._take(dispatch)

    def _say_positioned(self, *, positioned: bool) -> None:
        self.positioned = positioned
        self._metrics.following.set(int(positioned))

    def _pause(self) -> float:
        return backoff_seconds(
            self._failures, base=_BACKOFF_BASE_SECONDS, ceiling=_BACKOFF_MOST_SECONDS, random=self._random
        )
