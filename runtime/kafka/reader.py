"""Reads topics without a group: to their end, and on from there; or one record at its offset."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from runtime.kafka.batches import Batch, batches
from runtime.kafka.connection import stop_client
from runtime.kafka.fetching import Fetched, Fetching, Unreadable, tell_nobody
from runtime.kafka.records import Place, Record
from runtime.kafka.topic_watch import TopicWatch


class Reader:
    """
    Follows any set of partitions from positions that its user names.

    Positions are explicit offsets and never "latest": a record written after the assignment would be missed by that.
    A follower that need not know at once may let the broker gather *fetch_min_bytes*, for *fetch_max_wait_ms* at most.
    A topic that is made anew while it is followed is noticed by `poll`: see `runtime.kafka.topic_watch`.
    """

    def __init__(
        self,
        client_arguments: dict[str, Any],
        *,
        deadline_seconds: float = 10.0,
        fetch_min_bytes: int = 1,
        fetch_max_wait_ms: int = 250,
        on_unreadable: Callable[[Unreadable], None] = tell_nobody,
    ) -> None:
        self._deadline = deadline_seconds
        self._consumer = AIOKafkaConsumer(
            **client_arguments,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_min_bytes=fetch_min_bytes,
            fetch_max_wait_ms=fetch_max_wait_ms,
            max_partition_fetch_bytes=1024 * 1024,
            fetch_max_bytes=8 * 1024 * 1024,
            request_timeout_ms=int(deadline_seconds * 1000),
        )
        self._fetching = Fetching(self._consumer, on_unreadable=on_unreadable)
        self._watch = TopicWatch(lambda: self._consumer._client)  # noqa: SLF001 - a consumer hands its client to nobody

    async def start(self) -> None:
        """
        Connect; `stop` must follow even where it failed, since sockets may be open by then.

        Raises KafkaError or TimeoutError if no broker answers; it may then be called again.
        """
        async with asyncio.timeout(self._deadline):
            await self._consumer.start()

    async def stop(self) -> None:
        """Close within the deadline."""
        await self._watch.stop()
        client = self._consumer._client  # noqa: SLF001 - all that is left of a consumer that cannot stop
        await stop_client(self._consumer.stop(), client, deadline_seconds=self._deadline)

    async def __aenter__(self) -> Self:
        """Start, and leave no socket open where that failed."""
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    async def partitions(self, topic: str) -> tuple[Place, ...]:
        """Return the places of a topic; empty if it is unknown."""
        async with asyncio.timeout(self._deadline):
            await self._consumer._client._wait_on_metadata(topic)  # noqa: SLF001 - partitions_for_topic alone reads a cache
        return tuple(Place(topic, number) for number in sorted(self._consumer.partitions_for_topic(topic) or ()))

    async def identify(self, topic: str) -> str | None:
        """
        Take a topic for what it is now, and return its id: `None` when the brokers tell none.

        From then on `poll` and `check` notice another topic of that name. Raises KafkaError or TimeoutError.
        """
        await self._watch.identify([topic])
        return self._watch.id_of(topic)

    async def check(self, topic: str) -> None:
        """Raise TopicMadeAnew when a topic is not the one identified; KafkaError or TimeoutError when none answers."""
        await self._watch.check([topic])

    async def end_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return the offset behind the last record of each place."""
        tps = [TopicPartition(*place) for place in places]
        async with asyncio.timeout(self._deadline):
            found = await self._consumer.end_offsets(tps) if tps else {}
        return {Place(*tp): offset for tp, offset in found.items()}

    async def beginning_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return the offset of the first record still kept in each place."""
        tps = [TopicPartition(*place) for place in places]
        async with asyncio.timeout(self._deadline):
            found = await self._consumer.beginning_offsets(tps) if tps else {}
        return {Place(*tp): offset for tp, offset in found.items()}

    async def offset_at(self, place: Place, instant: datetime) -> int:
        """Return the offset of the first record appended at or after *instant*; the end where there is none."""
        tp = TopicPartition(*place)
        milliseconds = max(int(instant.timestamp() * 1000), 0)
        async with asyncio.timeout(self._deadline):
            found = await self._consumer.offsets_for_times({tp: milliseconds})
        if found[tp] is not None:
            return int(found[tp].offset)
        return (await self.end_offsets([place]))[place]

    def follow(self, positions: Mapping[Place, int]) -> None:
        """Follow these places from these offsets, beside those followed already."""
        self._assign({**self._fetching.positions, **positions})

    def follow_anew(self) -> None:
        """Follow the same places from their beginnings, whatever topics they are of by now."""
        self._watch.forget()
        self._assign(dict.fromkeys(self._fetching.positions, 0))

    def unfollow(self, places: Iterable[Place]) -> None:
        """Follow these places no longer."""
        gone = set(places)
        self._fetching.forget(gone)
        self._assign(dict(self._fetching.positions))

    def _assign(self, positions: Mapping[Place, int]) -> None:
        # assign() replaces the whole assignment and forgets positions, which are therefore sought anew.
        if not positions:
            self._consumer.unsubscribe()
            return
        self._consumer.assign([TopicPartition(*place) for place in positions])
        for place, offset in positions.items():
            self._fetching.seek(place, offset)

    def position(self, place: Place) -> int | None:
        """Return the next offset to be read, or None if the place is not followed."""
        return self._fetching.position(place)

    def position_in(self, place: Place) -> int:
        """Return the next offset to be read in a place that is followed; raises LookupError if it is not."""
        position = self._fetching.position(place)
        if position is None:
            raise LookupError(f"{place} is not followed")
        return position

    def batches(self, place: Place, start: int, end: int) -> AsyncIterator[list[Batch]]:
        """Return the batches from *start* to *end*, without following the place: see `runtime.kafka.batches`."""
        return batches(self._consumer._client, place, start, end, deadline_seconds=self._deadline)  # noqa: SLF001 - a consumer's own requests bring records one by one

    async def poll(self, *, timeout_ms: int = 500, max_records: int | None = 1000) -> Fetched:
        """
        Return what came, waiting at most about *timeout_ms*; unreadable batches are passed over and named.

        Raises TopicMadeAnew when a followed topic is another one: what is followed must then be begun anew.
        """
        changed = self._watch.look(self._fetching.positions).changed
        if changed is not None:
            raise changed
        places: Sequence[Place] = list(self._fetching.positions)
        if not places:
            await asyncio.sleep(timeout_ms / 1000)
            return Fetched()
        return await self._fetching.fetch(places, timeout_ms=timeout_ms, max_records=max_records)


class RecordReader(Reader):
    """
    Looks records up: one at its offset, or those of a key from an instant to the end of a partition.

    Between look-ups it follows nothing, so that none waits behind a long poll on its connection.
    """

    def __init__(self, client_arguments: dict[str, Any], *, deadline_seconds: float = 5.0) -> None:
        super().__init__(client_arguments, deadline_seconds=deadline_seconds)
        self._one_at_a_time = asyncio.Lock()

    async def read(self, place: Place, offset: int) -> Record | None:
        """Return the record at *offset*, or None if there is none (any more); raises KafkaError or TimeoutError."""
        async with asyncio.timeout(self._deadline), self._one_at_a_time:
            if place not in await self.partitions(place.topic):
                return None
            first = (await self.beginning_offsets([place]))[place]
            end = (await self.end_offsets([place]))[place]
            if not first <= offset < end:
                return None
            return await self._first_from(place, offset, end)

    async def _first_from(self, place: Place, offset: int, end: int) -> Record | None:
        self.follow({place: offset})
        try:
            while self.position_in(place) < end:
                fetched = await self.poll(timeout_ms=200, max_records=1)
                for record in fetched.records.get(place, []):
                    return record if record.offset == offset else None
        finally:
            self.unfollow([place])
        return None

    async def read_from(self, place: Place, since: datetime, *, key: bytes) -> list[Record]:
        """Return the records with *key* appended at or after *since*, in order; raises KafkaError or TimeoutError."""
        found: list[Record] = []
        async with asyncio.timeout(self._deadline), self._one_at_a_time:
            end = (await self.end_offsets([place]))[place]
            start = await self.offset_at(place, since)
            if start >= end:
                return found
            self.follow({place: start})
            try:
                while self.position_in(place) < end:
                    fetched = await self.poll(timeout_ms=200)
                    found += [record for record in fetched.records.get(place, []) if record.key == key]
            finally:
                self.unfollow([place])
        return found
