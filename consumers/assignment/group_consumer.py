"""aiokafka's consumer as a member of the group, and what it offers no public way to. All private names are in here.

What is known of aiokafka 0.14: two assignors join twice, so there is exactly one, and it is range: with equal counts
one member then owns partition p of every topic. A cancelled `getmany` disables the check of `max.poll.interval.ms` for
good, so that is switched off, and heartbeats are watched instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from runtime.kafka.connection import is_connected, stop_client
from runtime.settings import ReplicaSettings

log = structlog.get_logger(__name__)

_NEVER_MS = 24 * 3600 * 1000


def _client_id(arguments: Mapping[str, Any], management_port: int) -> str:
    """Return what the broker shows of this member: at its end the port at which `doctor` may ask it."""
    return f"{arguments['client_id']}-{management_port}" if management_port else str(arguments["client_id"])


class GroupConsumer:
    """One aiokafka consumer that commits explicitly and is assigned by range."""

    def __init__(self, client_arguments: Mapping[str, Any], settings: ReplicaSettings) -> None:
        self._request_timeout = settings.request_timeout_seconds
        self._commit_deadline = settings.commit_deadline_seconds
        self._silent_after = settings.rebalance_timeout_seconds
        self.consumer = AIOKafkaConsumer(
            **{**client_arguments, "client_id": _client_id(client_arguments, settings.management_port)},
            group_id=settings.consumer_group,
            group_instance_id=settings.group_instance_id,
            partition_assignment_strategy=(RangePartitionAssignor,),
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=int(settings.session_timeout_seconds * 1000),
            heartbeat_interval_ms=int(settings.heartbeat_seconds * 1000),
            rebalance_timeout_ms=int(settings.rebalance_timeout_seconds * 1000),
            request_timeout_ms=int(settings.request_timeout_seconds * 1000),
            max_poll_interval_ms=_NEVER_MS,
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=256 * 1024,
            fetch_max_bytes=8 * 1024 * 1024,
        )

    @property
    def client(self) -> Any:
        """Return the client under the consumer."""
        return self.consumer._client  # noqa: SLF001 - a consumer hands its client to nobody

    @property
    def _coordinator(self) -> Any:
        return self.consumer._coordinator  # noqa: SLF001 - there is no public way to what is asked of it here

    def connected(self, silent_seconds: float) -> bool:
        """
        Return whether any broker answers.

        One that hangs keeps its connections. But a member that waits for the others to join asks for nothing, for as
        long as the group waits.
        """
        return is_connected(self.client) and silent_seconds <= self._silent_after

    async def start(self) -> None:
        """Join. Raises KafkaError or TimeoutError if no broker answers."""
        async with asyncio.timeout(self._request_timeout):
            await self.consumer.start()

    async def stop(self) -> None:
        """Leave the group within the commit deadline."""
        if not await stop_client(self.consumer.stop(), self.client, deadline_seconds=self._commit_deadline):
            log.warning("group.not_left")

    def watch_heartbeats(self, monotonic: Callable[[], float], on_taken: Callable[[float], None]) -> None:
        """
        Report the time of each heartbeat that the coordinator takes.

        aiokafka keeps it to itself, and without it a zombie cannot tell that it is one.
        """
        beat = self._coordinator._do_heartbeat  # noqa: SLF001 - there is no public way

        async def watched() -> bool:
            asked_at = monotonic()
            try:
                taken = bool(await beat())
            except KafkaError as error:  # raised, it would end aiokafka's heartbeats for good; a right may come back
                log.warning("group.heartbeat.failed", error=type(error).__name__)
                return False
            if taken:
                on_taken(asked_at)
            return taken

        self._coordinator._do_heartbeat = watched  # noqa: SLF001 - likewise

    def heal(self) -> None:
        """
        Join again if aiokafka met an error that keeps it out of the group; call this from time to time.

        aiokafka raises such an error only from a poll, and a member that owns nothing does not poll. A background task
        that ended with an error is only started again when the member joins.
        """
        try:
            self._coordinator.check_errors()
        except KafkaError as error:
            log.warning("group.membership.failed", error=type(error).__name__)
            self.rejoin()

    def rejoin(self) -> None:
        """Have the group assign everything once more."""
        self._coordinator.request_rejoin()

    async def committed(self, tp: TopicPartition) -> OffsetAndMetadata | None:
        """Return the group's offset and its metadata, which the public way leaves out."""
        async with asyncio.timeout(self._commit_deadline):
            return (await self._coordinator.fetch_committed_offsets([tp])).get(tp)

    async def commit(self, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None:
        """Commit within the deadline: without a coordinator aiokafka would wait for ever."""
        async with asyncio.timeout(self._commit_deadline):
            await self.consumer.commit(dict(offsets))
