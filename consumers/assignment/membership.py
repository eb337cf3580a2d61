"""Membership in the consumer group: what is assigned, fetched and committed.

What is known of aiokafka 0.14 and handled here: `getmany` forgets healthy partitions' records when one raises (see
`runtime.kafka.fetching`); a commit is accepted in whatever generation is valid now, so the caller commits only what it
owns; a listener's exceptions vanish, so they are stored and `poll` raises them. `group_consumer` handles the rest.

An offset is committed with the id of its topic as metadata. Offsets of a topic that was deleted mean nothing in a new
topic of the same name, even if the new one has as many records by then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import TopicPartition

from consumers.assignment.group_consumer import GroupConsumer
from runtime.clock import Clock
from runtime.kafka.fetching import Deleted, Fetched, Fetching
from runtime.kafka.records import Place
from runtime.kafka.topic_watch import TopicWatch
from runtime.settings import ReplicaSettings


@dataclass(frozen=True)
class Committed:
    """An offset of the group, and the id of the topic that it was committed for, when that is known."""

    offset: int
    topic_id: str | None = None


class CommitRefused(Exception):
    """The group did not take the offsets. Somebody else owns them now and reads the records again."""


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """One member of the group: partitions are assigned and revoked, offsets are committed explicitly."""

    def __init__(
        self, client_arguments: Mapping[str, Any], clock: Clock, topics: Sequence[str], settings: ReplicaSettings
    ) -> None:
        self._clock = clock
        self._topics = topics
        self._group = GroupConsumer(client_arguments, settings)
        self._fetching = Fetching(self._group.consumer)
        self._watch = TopicWatch(lambda: self._group.client, monotonic=clock.monotonic)
        self._starts: dict[Place, int] = {}
        """Where logs began at the last look."""
        self._ends: dict[Place, int] = {}
        """Where they ended: a full replica fetches nothing that would tell it."""
        self._on_assigned: Callable[[set[Place]], None] = lambda _places: None
        self._on_revoked: Callable[[set[Place]], Awaitable[None]] | None = None
        self._failure: BaseException | None = None
        self.last_heartbeat = clock.monotonic()
        """Monotonic time at which the coordinator last took this member for alive."""
        self._looked_at = clock.monotonic()
        """Monotonic time at which a look at the topics last ended with an answer."""

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
        self._group.consumer.subscribe(topics=list(self._topics), listener=self)
        await self._group.start()
        self._group.watch_heartbeats(self._clock.monotonic, self._heartbeat_taken)

    def _heartbeat_taken(self, asked_at: float) -> None:
        self.last_heartbeat = asked_at

    def heal(self) -> None:
        """Join again if an error keeps this member out of the group; call this from time to time."""
        self._group.heal()

    async def stop(self) -> None:
        """Leave the group within the commit deadline."""
        await self._watch.stop()
        await self._group.stop()

    @property
    def connected(self) -> bool:
        """Return whether any broker answers: what readiness asks."""
        return self._group.connected(self._clock.monotonic() - max(self.last_heartbeat, self._looked_at))

    async def identify(self) -> frozenset[str]:
        """
        Note the topics' ids, once in each assignment, and return the topics that are missing.

        Raises TopicRecreated when a topic has another id than before, and KafkaError or TimeoutError.
        """
        missing = await self._watch.check(self._topics)
        if missing:
            await self._group.client.force_metadata_update()  # so that the client learns of them, too
        return missing

    def look(self) -> None:
        """Check from time to time whether the topics are the same. Raises TopicRecreated once for each that is not."""
        looked = self._watch.look(self._fetching.positions)
        if looked.changed is not None:
            raise looked.changed
        self._starts.update(looked.starts)
        self._ends.update(looked.ends)
        if looked.ends:
            self._looked_at = self._clock.monotonic()

    def id_of(self, topic: str) -> str | None:
        """Return the id of a topic as it was noted, or `None` if the brokers tell none."""
        return self._watch.id_of(topic)

    def rejoin(self) -> None:
        """Have the group assign everything once more: what is owned is revoked and assigned again."""
        self._group.rejoin()

    async def committed(self, place: Place) -> Committed | None:
        """Return the group's offset in a place, or `None`. Raises KafkaError or TimeoutError."""
        found = await self._group.committed(TopicPartition(*place))
        return None if found is None else Committed(found.offset, found.metadata or None)

    def end_of(self, place: Place) -> int | None:
        """Return the end of a place as the last fetch or the last look saw it, or None: what lag is counted from."""
        seen = [self._ends.get(place)]
        with suppress(IllegalStateError, AssertionError):
            seen.append(self._group.consumer.highwater(TopicPartition(*place)))
        return max((end for end in seen if end is not None), default=None)

    def open(self, positions: Mapping[Place, int]) -> None:
        """Fetch these places from now on."""
        for place, offset in positions.items():
            self._fetching.seek(place, offset)

    async def poll(self, places: Sequence[Place], *, timeout_ms: int, max_records: int) -> Fetched:
        """
        Fetch from *places*, which must be open.

        Raises what the revoke callback raised, and KafkaError.
        """
        if self._failure is not None:
            raise self._failure
        for place in places:
            if self._has_lost(place):
                return await self._skip_deleted(place, timeout_ms=timeout_ms, max_records=max_records)
        return await self._fetching.fetch(places, timeout_ms=timeout_ms, max_records=max_records)

    def _has_lost(self, place: Place) -> bool:
        position = self._fetching.position(place)
        return position is not None and position < self._starts.get(place, 0)

    async def _skip_deleted(self, place: Place, *, timeout_ms: int, max_records: int) -> Fetched:
        """Return what was fetched before it was deleted; once there is nothing, continue where the log begins."""
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
            CommitRefused: if this member no longer owns them.
            KafkaError, TimeoutError: if it may be tried again.
        """
        if not offsets:
            return
        try:
            await self._group.commit(
                {
                    TopicPartition(*place): (offset, self._watch.id_of(place.topic) or "")
                    for place, offset in offsets.items()
                }
            )
        except (CommitFailedError, IllegalStateError) as error:
            raise CommitRefused(type(error).__name__) from error

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Hand over what was assigned; aiokafka sends no heartbeats until this returns."""
        self.last_heartbeat = self._clock.monotonic()
        self._watch.forget()
        self._starts.clear()
        self._ends.clear()
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
