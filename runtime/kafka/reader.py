"""Read topics without a consumer group: follow partitions from given offsets, or look up single records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from runtime.kafka.batches import Batch, batch_at, batches
from runtime.kafka.connection import stop_client
from runtime.kafka.fetching import Fetched, Fetching, Unreadable, ignore
from runtime.kafka.records import Place, Record, record_of
from runtime.kafka.topic_watch import TopicWatch

_SIDE_BY_SIDE = 2
"""How many look-ups read partitions at the same time: more would hold more memory, and all end later."""


class Reader:
    """
    Follows any set of partitions from given offsets.

    Positions are explicit offsets, never "latest": a reader at "latest" misses records written before its first fetch.
    A follower that can wait lets the broker gather *fetch_min_bytes*, for *fetch_max_wait_ms* at most.
    `poll` notices when a followed topic is created anew: see `runtime.kafka.topic_watch`.
    """

    def __init__(
        self,
        client_arguments: dict[str, Any],
        *,
        deadline_seconds: float = 10.0,
        fetch_min_bytes: int = 1,
        fetch_max_wait_ms: int = 250,
        on_unreadable: Callable[[Unreadable], None] = ignore,
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
        self._watch = TopicWatch(lambda: self._consumer._client)  # noqa: SLF001 - a consumer does not expose its client

    async def start(self) -> None:
        """
        Connect; call `stop` even if this fails, since sockets may be open by then.

        Raise KafkaError or TimeoutError if no broker answers; it may then be called again.
        """
        async with asyncio.timeout(self._deadline):
            await self._consumer.start()

    async def stop(self) -> None:
        """Close within the deadline."""
        await self._watch.stop()
        client = self._consumer._client  # noqa: SLF001 - it closes the sockets of a consumer that cannot stop
        await stop_client(self._consumer.stop(), client, deadline_seconds=self._deadline)

    async def __aenter__(self) -> Self:
        """Start, and leave no socket open if that fails."""
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
        """Return the partitions of a topic; none if the topic is unknown."""
        async with asyncio.timeout(self._deadline):
            await self._consumer._client._wait_on_metadata(topic)  # noqa: SLF001 - partitions_for_topic itself only reads a cache
        return tuple(Place(topic, number) for number in sorted(self._consumer.partitions_for_topic(topic) or ()))

    async def identify(self, topic: str) -> str | None:
        """
        Remember which topic has this name now, and return its id, or `None` if the brokers do not tell it.

        From now on `poll` and `check` notice another topic of that name. Raise KafkaError or TimeoutError.
        """
        await self._watch.identify([topic])
        return self._watch.id_of(topic)

    async def check(self, topic: str) -> None:
        """Raise TopicRecreated if a topic is not the one identified; KafkaError or TimeoutError if none answers."""
        await self._watch.check([topic])

    async def end_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return the offset after the last record of each partition."""
        tps = [TopicPartition(*place) for place in places]
        async with asyncio.timeout(self._deadline):
            found = await self._consumer.end_offsets(tps) if tps else {}
        return {Place(*tp): offset for tp, offset in found.items()}

    async def beginning_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return the offset of the first record still kept in each partition."""
        tps = [TopicPartition(*place) for place in places]
        async with asyncio.timeout(self._deadline):
            found = await self._consumer.beginning_offsets(tps) if tps else {}
        return {Place(*tp): offset for tp, offset in found.items()}

    async def offset_at(self, place: Place, instant: datetime) -> int:
        """Return the offset of the first record appended at or after *instant*, or the end if there is none."""
        tp = TopicPartition(*place)
        milliseconds = max(int(instant.timestamp() * 1000), 0)
        async with asyncio.timeout(self._deadline):
            found = await self._consumer.offsets_for_times({tp: milliseconds})
        if found[tp] is not None:
            return int(found[tp].offset)
        return (await self.end_offsets([place]))[place]

    async def record_at(self, place: Place, offset: int) -> Record | None:
        """Follow a partition for one record: return it, or None if there is none; raise KafkaError or TimeoutError."""
        async with asyncio.timeout(self._deadline):
            if place not in await self.partitions(place.topic):
                return None
            first = (await self.beginning_offsets([place]))[place]
            end = (await self.end_offsets([place]))[place]
            return await self._first_from(place, offset, end) if first <= offset < end else None

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

    def follow(self, positions: Mapping[Place, int]) -> None:
        """Follow these partitions from these offsets, in addition to those already followed."""
        self._assign({**self._fetching.positions, **positions})

    def follow_anew(self) -> None:
        """Follow the same partitions from offset 0, whichever topics they belong to by now."""
        self._watch.forget()
        self._assign(dict.fromkeys(self._fetching.positions, 0))

    def unfollow(self, places: Iterable[Place]) -> None:
        """Stop following these partitions."""
        gone = set(places)
        self._fetching.forget(gone)
        self._assign(dict(self._fetching.positions))

    def _assign(self, positions: Mapping[Place, int]) -> None:
        # assign() replaces the whole assignment and forgets positions, so seek them again.
        if not positions:
            self._consumer.unsubscribe()
            return
        self._consumer.assign([TopicPartition(*place) for place in positions])
        for place, offset in positions.items():
            self._fetching.seek(place, offset)

    def position(self, place: Place) -> int | None:
        """Return the next offset to read, or None if the partition is not followed."""
        return self._fetching.position(place)

    def position_in(self, place: Place) -> int:
        """Return the next offset to read; raise LookupError if the partition is not followed."""
        position = self._fetching.position(place)
        if position is None:
            raise LookupError(f"{place} is not followed")
        return position

    def batches(self, place: Place, start: int, end: int) -> AsyncIterator[Sequence[Batch]]:
        """Return the batches from *start* to *end*, without following the partition: see `runtime.kafka.batches`."""
        return batches(self._consumer._client, place, start, end, deadline_seconds=self._deadline)  # noqa: SLF001 - a consumer itself returns records one by one

    async def poll(self, *, timeout_ms: int = 500, max_records: int | None = 1000) -> Fetched:
        """
        Return new records after at most about *timeout_ms*; skip unreadable batches, and name them in the result.

        Raise TopicRecreated if a followed topic is another one by now: its user must then start anew.
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
        self._some_at_a_time = asyncio.Semaphore(_SIDE_BY_SIDE)

    async def read(self, place: Place, offset: int) -> Record | None:
        """
        Return the record at *offset*, or None if there is none (any more); raise KafkaError or TimeoutError.

        Look-ups run side by side, each in one round trip. Only one that finds nothing follows the partition to be sure.
        """
        async with asyncio.timeout(self._deadline):
            with suppress(KafkaError):
                if (found := await self._read_batch(place, offset)) is not None:
                    return found
            async with self._one_at_a_time:
                return await self.record_at(place, offset)

    async def _read_batch(self, place: Place, offset: int) -> Record | None:
        batch = await batch_at(self._consumer._client, place, offset)  # noqa: SLF001 - as for `batches`
        if batch is None or batch.is_control_batch:
            return None
        return next((record_of(place, raw) for raw in batch.read() if raw.offset == offset), None)

    async def read_from(self, place: Place, since: datetime, *, key: bytes) -> list[Record]:
        """Return the records with *key* appended at or after *since*, in order; raise KafkaError or TimeoutError."""
        found: list[Record] = []
        await self.read_each(place, since, key=key, take=found.append)
        return found

    async def read_each(self, place: Place, since: datetime, *, key: bytes, take: Callable[[Record], None]) -> None:
        """
        Hand each record with *key* appended at or after *since* to *take*, in order, and keep none.

        A few look-ups run side by side; what cannot be read in batches is read by following the partition.
        Raise KafkaError or TimeoutError; *take* may have got some records by then.
        """
        async with asyncio.timeout(self._deadline), self._some_at_a_time:
            end = (await self.end_offsets([place]))[place]
            start = await self.offset_at(place, since)
            reached = await self._take_batches(place, start, end, key, take)
            if reached < end:
                await self._take_following(place, reached, end, key, take)

    async def _take_batches(
        self, place: Place, start: int, end: int, key: bytes, take: Callable[[Record], None]
    ) -> int:
        """Return the offset up to which all records were taken."""
        with suppress(KafkaError):
            client = self._consumer._client  # noqa: SLF001 - as for `batches`
            async with aclosing(batches(client, place, start, end, deadline_seconds=self._deadline)) as reading:
                async for some in reading:
                    for batch in some:
                        wanted = not batch.is_control_batch and batch.may_hold(key)
                        for raw in [raw for raw in batch.read() if raw.key == key] if wanted else ():
                            if start <= raw.offset < end:
                                take(record_of(place, raw))
                        start = batch.next_offset
        return start

    async def _take_following(
        self, place: Place, start: int, end: int, key: bytes, take: Callable[[Record], None]
    ) -> None:
        async with self._one_at_a_time:
            self.follow({place: start})
            try:
                while self.position_in(place) < end:
                    fetched = await self.poll(timeout_ms=200)
                    for record in fetched.records.get(place, []):
                        if record.key == key:
                            take(record)
            finally:
                self.unfollow([place])
