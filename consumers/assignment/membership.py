"""Membership in the consumer group, with all of aiokafka's oddities kept in here.

What is known of aiokafka 0.14 and seen to here: `getmany` forgets healthy partitions' records when one raises (see
`runtime.kafka.fetching`); commits hang without a coordinator, so each has a deadline; a commit is accepted in whatever
generation is valid now, so the caller commits only what it owns; two assignors join twice, so there is exactly one, and
it is range: with equal counts one member then owns partition p of every topic; listeners' exceptions vanish, so ours
are stored and raised by `poll`; a cancelled `getmany` disables the poll watchdog, so that is switched off and
`last_heartbeat` watched instead.

An offset is committed with the id of its topic as metadata: of a topic that was made anew it means nothing, although
the new one may have as many records by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import TopicPartition

from runtime.clock import Clock
from runtime.kafka.connection import is_connected, stop_client
from runtime.kafka.fetching import Deleted, Fetched, Fetching
from runtime.kafka.records import Place
from runtime.kafka.topic_watch import TopicWatch

log = structlog.get_logger(__name__)

_NEVER_MS = 24 * 3600 * 1000


@dataclass(frozen=True)
class Committed:
    """An offset of the group, and the id of the topic that it was committed for, when that is known."""

    offset: int
    topic_id: str | None = None


class CommitRefused(Exception):
    """The group did not take the offsets; somebody else owns them now, and the records come again there."""


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """One member of the group: assigned partitions come and go, offsets are committed explicitly."""

    def __init__(
        self,
        client_arguments: dict[str, Any],
        clock: Clock,
        *,
        group_id: str,
        topics: Sequence[str],
        session_timeout_seconds: float,
        heartbeat_seconds: float,
        rebalance_timeout_seconds: float,
        request_timeout_seconds: float,
        commit_deadline_seconds: float,
        group_instance_id: str | None = None,
    ) -> None:
        self._clock = clock
        self._topics = topics
        self._commit_deadline = commit_deadline_seconds
        self._request_timeout = request_timeout_seconds
        self._consumer = AIOKafkaConsumer(
            **client_arguments,
            group_id=group_id,
            group_instance_id=group_instance_id,
            partition_assignment_strategy=(RangePartitionAssignor,),
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=int(session_timeout_seconds * 1000),
            heartbeat_interval_ms=int(heartbeat_seconds * 1000),
            rebalance_timeout_ms=int(rebalance_timeout_seconds * 1000),
            request_timeout_ms=int(request_timeout_seconds * 1000),
            max_poll_interval_ms=_NEVER_MS,
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=256 * 1024,
            fetch_max_bytes=8 * 1024 * 1024,
        )
        self._fetching = Fetching(self._consumer)
        self._watch = TopicWatch(lambda: self._consumer._client, monotonic=clock.monotonic)  # noqa: SLF001 - a consumer hands its client to nobody
        self._starts: dict[Place, int] = {}
        """Where logs began when that was looked at last."""
        self._on_assigned: Callable[[set[Place]], None] = lambda _places: None
        self._on_revoked: Callable[[set[Place]], Awaitable[None]] | None = None
        self._failure: BaseException | None = None
        self.last_heartbeat = clock.monotonic()
        """Monotonic time at which the coordinator last took this member for alive."""

    async def start(
        self,
        *,
        on_assigned: Callable[[set[Place]], None],
        on_revoked: Callable[[set[Place]], Awaitable[None]],
    ) -> None:
        """
        Join; *on_assigned* must return at once, *on_revoked* may finish work within the rebalance time-out.

        Raises KafkaError or TimeoutError if no broker answers.
        """
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        self._consumer.subscribe(topics=list(self._topics), listener=self)
        async with asyncio.timeout(self._request_timeout):
            await self._consumer.start()
        self._watch_heartbeats()

    def _watch_heartbeats(self) -> None:
        """Learn of each heartbeat taken, which aiokafka keeps to itself; without it no zombie could tell it is one."""
        coordinator = self._consumer._coordinator  # noqa: SLF001 - there is no public way
        beat = coordinator._do_heartbeat  # noqa: SLF001 - likewise

        async def watched() -> bool:
            asked_at = self._clock.monotonic()
            try:
                taken = bool(await beat())
            except KafkaError as error:  # it would end aiokafka's heartbeats for good, though a right may come back
                log.warning("group.heartbeat.failed", error=type(error).__name__)
                return False
            if taken:
                self.last_heartbeat = asked_at
            return taken

        coordinator._do_heartbeat = watched  # noqa: SLF001 - likewise

    def heal(self) -> None:
        """
        Join anew if aiokafka met an error that keeps it out of the group; to be called from time to time.

        It waits until somebody takes the error in, which only a poll does: one who owns nothing does not poll. And a
        background task of its that ended with an error is only started again when it joins.
        """
        coordinator = self._consumer._coordinator  # noqa: SLF001 - there is no public way
        try:
            coordinator.check_errors()
        except KafkaError as error:
            log.warning("group.membership.failed", error=type(error).__name__)
            coordinator.request_rejoin()

    async def stop(self) -> None:
        """Leave the group within the commit deadline."""
        await self._watch.stop()
        client = self._consumer._client  # noqa: SLF001 - all that is left of a consumer that cannot stop
        if not await stop_client(self._consumer.stop(), client, deadline_seconds=self._commit_deadline):
            log.warning("group.not_left")

    @property
    def connected(self) -> bool:
        """Return whether any broker is connected: what readiness asks."""
        return is_connected(self._consumer._client)  # noqa: SLF001 - a consumer hands its client to nobody

    async def identify(self) -> frozenset[str]:
        """
        Take the topics for what they are now, once in each assignment, and return those that are missing.

        Raises TopicMadeAnew when one is another by now than when that was done, and KafkaError or TimeoutError.
        """
        missing = await self._watch.check(self._topics)
        if missing:
            await self._consumer._client.force_metadata_update()  # noqa: SLF001 - so that the client learns of them, too
        return missing

    def look(self) -> None:
        """Look now and then whether the topics are the same. Raises TopicMadeAnew once for each that is another."""
        looked = self._watch.look(self._fetching.positions)
        if looked.changed is not None:
            raise looked.changed
        self._starts.update(looked.starts)

    def id_of(self, topic: str) -> str | None:
        """Return the id of a topic as it was identified, or `None` when brokers tell none."""
        return self._watch.id_of(topic)

    def rejoin(self) -> None:
        """Have the group assign everything once more: what is owned is revoked, and begun anew."""
        self._consumer._coordinator.request_rejoin()  # noqa: SLF001 - there is no public way

    async def committed(self, place: Place) -> Committed | None:
        """Return the group's offset in a place, or `None`. Raises KafkaError or TimeoutError."""
        tp = TopicPartition(*place)
        async with asyncio.timeout(self._commit_deadline):
            found = (await self._consumer._coordinator.fetch_committed_offsets([tp])).get(tp)  # noqa: SLF001 - the public way keeps the metadata to itself
        return None if found is None else Committed(found.offset, found.metadata or None)

    def end_of(self, place: Place) -> int | None:
        """Return the end of a place as the last fetch saw it, or None: what lag is counted from."""
        try:
            end: int | None = self._consumer.highwater(TopicPartition(*place))
        except (IllegalStateError, AssertionError):
            return None
        return end

    def open(self, positions: Mapping[Place, int]) -> None:
        """Fetch these places from now on."""
        for place, offset in positions.items():
            self._fetching.seek(place, offset)

    async def poll(self, places: Sequence[Place], *, timeout_ms: int, max_records: int) -> Fetched:
        """
        Return what open places among *places* have.

        Raises what the revoke callback raised, and KafkaError.
        """
        if self._failure is not None:
            raise self._failure
        for place in places:
            if self._has_lost(place):
                return await self._pass_deleted(place, timeout_ms=timeout_ms, max_records=max_records)
        return await self._fetching.fetch(places, timeout_ms=timeout_ms, max_records=max_records)

    def _has_lost(self, place: Place) -> bool:
        position = self._fetching.position(place)
        return position is not None and position < self._starts.get(place, 0)

    async def _pass_deleted(self, place: Place, *, timeout_ms: int, max_records: int) -> Fetched:
        """Return what was fetched before it was deleted; once there is nothing, go on where the log begins."""
        fetched = await self._fetching.fetch([place], timeout_ms=timeout_ms, max_records=max_records)
        position = self._fetching.position(place)
        if not fetched.records and not fetched.unreadable and position is not None and self._has_lost(place):
            self._fetching.seek(place, self._starts[place])
            fetched.deleted.append(Deleted(place, position, self._starts[place]))
        return fetched

    async def commit(self, offsets: Mapping[Place, int]) -> None:
        """
        Commit explicit offsets.

        Raises:
            CommitRefused: where this member owns them no longer.
            KafkaError, TimeoutError: where it may be tried again.
        """
        if not offsets:
            return
        try:
            # Not wait_for: before Python 3.12 it may take a stop for nothing that comes just as the commit is done.
            async with asyncio.timeout(self._commit_deadline):
                await self._consumer.commit(
                    {
                        TopicPartition(*place): (offset, self._watch.id_of(place.topic) or "")
                        for place, offset in offsets.items()
                    }
                )
        except (CommitFailedError, IllegalStateError) as error:
            raise CommitRefused(type(error).__name__) from error

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Hand over what was assigned; heartbeats stand still until this returns."""
        self.last_heartbeat = self._clock.monotonic()
        self._watch.forget()
        self._starts.clear()
        self._on_assigned({Place(*tp) for tp in assigned})

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Let the owner finish; aiokafka would swallow what it raises, so that is kept for `poll`."""
        places = {Place(*tp) for tp in revoked}
        if not places or self._on_revoked is None:
            return
        try:
            await self._on_revoked(places)
        except (KafkaError, OSError, TimeoutError, RuntimeError) as error:
            self._failure = error
        finally:
            self._fetching.forget(places)
