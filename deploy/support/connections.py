"""Kafka clients for one run, each closed at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient

from runtime.kafka.checked_batches import bound_batches
from runtime.kafka.connection import client_arguments, connected_admin
from runtime.kafka.descriptions import Right
from runtime.kafka.publisher import KafkaPublisher
from runtime.kafka.reader import Reader
from runtime.kafka.rights import Needs
from runtime.kafka.topics import Topics, check_topics
from runtime.settings import Settings

_CONNECT_SECONDS = 10.0
_PUBLISH_SECONDS = 10.0


def topics_of(settings: Settings) -> Topics:
    """Return the names of the topics in the settings' namespace."""
    return Topics(settings.namespace)


@asynccontextmanager
async def admin_client(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield a connected admin client; raise KafkaError, OSError or TimeoutError if no broker answers."""
    async with connected_admin(client_arguments(settings), deadline_seconds=_CONNECT_SECONDS) as admin:
        yield admin


def rights_needed(settings: Settings, *, reads: Iterable[str] = (), writes: Iterable[str] = ()) -> Needs:
    """Return the Kafka rights of a command that reads and writes these topics, and checks all topics."""
    topics, reads, writes = topics_of(settings), frozenset(reads), frozenset(writes)
    configured = {*topics.events, topics.dispatches, topics.feedback}
    return Needs(
        {
            name: frozenset(
                right
                for right, these in ((Right.READ, reads), (Right.WRITE, writes), (Right.DESCRIBE_CONFIGS, configured))
                if name in these
            )
            for name in topics.all
        }
    )


async def checked_partition_count(settings: Settings, needed: Needs | None = None) -> int:
    """Check the topics and return their partition count; raise UnfitTopics, KafkaError, OSError, TimeoutError."""
    async with admin_client(settings) as admin:
        return await check_topics(admin, topics_of(settings), needed or rights_needed(settings))


@asynccontextmanager
async def publisher(settings: Settings, *, to: Iterable[str]) -> AsyncIterator[KafkaPublisher]:
    """Yield a connected publisher. Topics are checked first, so that no broker creates one automatically."""
    await checked_partition_count(settings, rights_needed(settings, writes=to))
    publishing = KafkaPublisher(client_arguments(settings), deadline_seconds=_PUBLISH_SECONDS, linger_ms=2)
    try:
        await publishing.start(deadline_seconds=_CONNECT_SECONDS)
        yield publishing
    finally:
        await publishing.stop()


@asynccontextmanager
async def reader(settings: Settings, *, of: Iterable[str]) -> AsyncIterator[Reader]:
    """Yield a connected reader. Topics are checked first, as for the publisher."""
    await checked_partition_count(settings, rights_needed(settings, reads=of))
    bound_batches(settings.max_batch_bytes)
    async with Reader(client_arguments(settings), deadline_seconds=_CONNECT_SECONDS) as connected:
        yield connected
