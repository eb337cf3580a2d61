"""Follow the dispatches topic, so that callers who wait here learn what any replica wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import structlog

from runtime.backoff import backoff_seconds
from runtime.clock import Clock
from runtime.kafka.fetching import Fetched
from runtime.kafka.records import Place
from schemas.dispatch import DISPATCHES_TOPIC, MAX_DISPATCH_BYTES, parse_dispatch
from service.metrics import Metrics
from service.recent_dispatches import RecentDispatches
from service.waiting_callers import WaitingCallers

log = structlog.get_logger(__name__)

_BACKOFF_BASE_SECONDS = 0.2
_BACKOFF_MOST_SECONDS = 5.0
_GATHER_SECONDS = 0.05
"""While nobody waits, records are read together that come within this time: a fetch costs more than its records."""
_BRACE = ord("{")


class Feed(Protocol):
    """What the follower reads: `runtime.kafka.reader.Reader`, or a fake of it."""

    async def partitions(self, topic: str) -> tuple[Place, ...]:
        """Return the places of a topic."""
        ...

    async def identify(self, topic: str) -> str | None:
        """Return the id of a topic if it is known; from now on `poll` raises if the topic is another one."""
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
        """Return the records that came."""
        ...


OpenFeed = Callable[[], AbstractAsyncContextManager[Feed]]


class DispatchFollower:
    """
    Hands every dispatch record to those who wait for it, and to the dispatches seen recently.

    It looks at the key first and parses only what somebody waits for: each facade reads what all replicas write.

    It begins at the ends that the partitions have at the start. It asks for them and seeks them: a reader that starts
    at "latest" would miss what is written before its first fetch. After an error it continues where it was, so that
    nothing is lost while Kafka is away. It reads a recreated topic from its beginning, since the outcome that a caller
    waits for may be anywhere in it.
    """

    def __init__(
        self,
        topic: str,
        open_feed: OpenFeed,
        waiting: WaitingCallers,
        recent: RecentDispatches,
        *,
        clock: Clock,
        random: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._topic = topic
        self._open_feed = open_feed
        self._waiting = waiting
        self._recent = recent
        self._clock = clock
        self._random = random
        self._metrics = metrics
        self._read = metrics.dispatch_records.labels("read")
        self._no_dispatch = metrics.dispatch_records.labels("no_dispatch")
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
            except Exception as error:  # noqa: BLE001 - whatever it was, callers still wait for records
                self._failures += 1
                log.warning("dispatches.follow.failed", error=type(error).__name__, failures=self._failures)
            finally:
                self._set_positioned(positioned=False)
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
        # Never beyond the end: a recreated or truncated topic may end earlier.
        self._next = {place: min(self._next.get(place, end), end) for place, end in ends.items()}
        feed.follow(self._next)
        self._set_positioned(positioned=True)
        log.info("dispatches.follow.positioned", partitions=len(places))

    async def _follow(self, feed: Feed) -> None:
        while True:
            self._hand_over(await feed.poll())
            self._next = {place: feed.position_in(place) for place in self._next}
            self._failures = 0
            await self._waiting.until_anybody(deadline_seconds=_GATHER_SECONDS)

    def _hand_over(self, fetched: Fetched) -> None:
        for batch in fetched.unreadable:
            self._metrics.unreadable.inc()
            log.error(
                "dispatches.batch.unreadable",
                partition=batch.place.partition,
                first=batch.first,
                next_offset=batch.next_offset,
                error=batch.error,
            )
        for place, records in fetched.records.items():
            for record in records:
                # The position moves first: a record that raises an error here is not read again.
                self._next[place] = record.offset + 1
                if self._hand_over_record(record.key, record.value):
                    self._read.inc()
                else:
                    self._no_dispatch.inc()
                    log.warning("dispatches.record.unknown", partition=record.partition, offset=record.offset)

    def _hand_over_record(self, key: bytes | None, value: bytes | None) -> bool:
        """Return False if the record is certainly no dispatch; it is parsed only if somebody waits for it."""
        if not key or not key.isascii() or not value or value[0] != _BRACE or len(value) > MAX_DISPATCH_BYTES:
            return False
        dispatch_id = key.decode()
        if self._waiting.expects(dispatch_id):
            dispatch = parse_dispatch(value)
            if dispatch is None or dispatch.dispatch_id != dispatch_id:
                return False
            self._waiting.take(dispatch)
        self._recent.add_record(dispatch_id, value)
        return True

    def _set_positioned(self, *, positioned: bool) -> None:
        self.positioned = positioned
        self._metrics.following.set(int(positioned))

    def _pause(self) -> float:
        return backoff_seconds(
            self._failures, base=_BACKOFF_BASE_SECONDS, ceiling=_BACKOFF_MOST_SECONDS, random=self._random
        )
