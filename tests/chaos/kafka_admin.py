"""Ask and alter the cluster from outside: replicas in sync, `min.insync.replicas`, members of the group."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

import confluent_kafka.admin
from confluent_kafka import KafkaException

from tests.chaos.cluster import ChaosFailed

_kafka: Any = confluent_kafka.admin  # its types do not export what its documentation does
_ASK_SECONDS = 10.0
_AGAIN_SECONDS = 0.2


class KafkaAdmin:
    """Does what aiokafka's admin client cannot: alter single settings, and list members with their assignments."""

    def __init__(self, servers: str, *, brokers: int) -> None:
        # Silent while brokers are down: here they are killed on purpose.
        self._admin = _kafka.AdminClient(
            {"bootstrap.servers": servers, "log_level": 0, "topic.metadata.refresh.sparse": True}
        )
        self._brokers = brokers

    async def until_in_sync(self, *, within: float) -> None:
        """Wait until all brokers run and every replica is in sync; raise ChaosFailed if that takes too long."""
        await self._until(lambda sizes, brokers: brokers == self._brokers and min(sizes) == self._brokers, within)

    async def until_fewer_in_sync(self, topics: Iterable[str], *, within: float) -> None:
        """Wait until no partition of *topics* has all replicas in sync; raise ChaosFailed if that takes too long."""
        await self._until(lambda sizes, _: max(sizes) < self._brokers, within, set(topics))

    async def _until(
        self, said: Callable[[list[int], int], bool], within: float, topics: set[str] | None = None
    ) -> None:
        until = time.monotonic() + within
        while time.monotonic() < until:
            try:
                found = await asyncio.to_thread(self._admin.list_topics, timeout=_ASK_SECONDS)
            except KafkaException:
                continue
            chosen = [topic for topic in found.topics.values() if topics is None or topic.topic in topics]
            if said([len(p.isrs) for topic in chosen for p in topic.partitions.values()], len(found.brokers)):
                return
            await asyncio.sleep(_AGAIN_SECONDS)
        raise ChaosFailed(f"the brokers did not reach the expected state within {within:.0f} s")

    async def set_least_in_sync(self, topics: Iterable[str], least: int, *, within: float) -> None:
        """Set only `min.insync.replicas` of each of *topics*; raise ChaosFailed if that fails."""
        entry = _kafka.ConfigEntry(
            "min.insync.replicas", str(least), incremental_operation=_kafka.AlterConfigOpType.SET
        )
        resources = [
            _kafka.ConfigResource(_kafka.ResourceType.TOPIC, topic, incremental_configs=[entry]) for topic in topics
        ]
        until = time.monotonic() + within
        while time.monotonic() < until:
            altering = self._admin.incremental_alter_configs(resources, request_timeout=_ASK_SECONDS)
            try:
                await asyncio.gather(*(asyncio.to_thread(future.result, _ASK_SECONDS) for future in altering.values()))
            except (KafkaException, TimeoutError):  # there may be no controller, or a former one was asked
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return
        raise ChaosFailed(f"settings could not be altered within {within:.0f} s")

    async def working_members(self, group: str) -> int:
        """Return how many members of *group* own partitions now; 0 during a rebalance."""
        asking = self._admin.describe_consumer_groups([group], request_timeout=_ASK_SECONDS)
        try:
            found: Any = await asyncio.to_thread(asking[group].result, _ASK_SECONDS)
        except KafkaException:
            return 0
        if found.state.name != "STABLE":
            return 0
        return sum(bool(member.assignment.topic_partitions) for member in found.members)
