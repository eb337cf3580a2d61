"""Clients for one run of the command, each closed at the end."""

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
    """Return the topics' names in the settings' namespace."""
    return Topics(settings.namespace)


@asynccontextmanager
async def admin_client(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield a connected admin client; raise KafkaError, OSError or TimeoutError if no broker answers."""
    async with connected_admin(client_arguments(settings), deadline_seconds=_CONNECT_SECONDS) as admin:
        yield admin


def needs(settings: Settings, *, reads: Iterable[str] = (), writes: Iterable[str] = ()) -> Needs:
    """Return the rights for a command that reads and writes these topics, and checks all of them."""
    topics, reads, writes = topics_of(settings), frozenset(reads), frozenset(writes)
    configured = {*topics.events, topics.dispatches}
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


async def fit_topics(settings: Settings, needed: Needs | None = None) -> int:
    """Return the partition count of event and dispatch topics; raise UnfitTopics, KafkaError, OSError, TimeoutError."""
    async with admin_client(settings) as admin:
        return await check_topics(admin, topics_of(settings), needed or needs(settings))


@asynccontextmanager
async def publisher(settings: Settings, *, to: Iterable[str]) -> AsyncIterator[KafkaPublisher]:
    """Yield a connected publisher; topics are checked first, lest a broker that makes topics by itself make one."""
    await fit_topics(settings, needs(settings, writes=to))
    publishing = KafkaPublisher(client_arguments(settings), deadline_seconds=_PUBLISH_SECONDS, linger_ms=2)
    try:
        await publishing.start(deadline_seconds=_CONNECT_SECONDS)
        yield publishing
    finally:
        await publishing.stop()


@asynccontextmanager
async def reader(settings: Settings, *, of: Iterable[str]) -> AsyncIterator[Reader]:
    """Yield a connected reader; topics are checked first, as for the publisher."""
    await fit_topics(settings, needs(settings, reads=of))
    bound_batches(settings.max_batch_bytes)
    async with Reader(client_arguments(settings), deadline_seconds=_CONNECT_SECONDS) as connected:
        yield connected
