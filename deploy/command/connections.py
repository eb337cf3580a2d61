"""Clients for one run of the command, each closed at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient

from runtime.kafka.checked_batches import bound_batches
from runtime.kafka.connection import client_arguments
from runtime.kafka.publisher import KafkaPublisher
from runtime.kafka.reader import Reader
from runtime.kafka.topics import Topics, check_topics
from runtime.settings import Settings

_CONNECT_SECONDS = 10.0
_PUBLISH_SECONDS = 10.0


def topics_of(settings: Settings) -> Topics:
    """Give the topics' names in the settings' namespace."""
    return Topics(settings.namespace)


@asynccontextmanager
async def admin_client(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Give a connected admin client; raises KafkaError or TimeoutError where no broker answers."""
    admin = AIOKafkaAdminClient(**client_arguments(settings), request_timeout_ms=int(_CONNECT_SECONDS * 1000))
    try:
        await asyncio.wait_for(admin.start(), _CONNECT_SECONDS)
        yield admin
    finally:
        await admin.close()


async def fit_topics(settings: Settings) -> int:
    """Give the partition count of event and dispatch topics; raises UnfitTopics, KafkaError or TimeoutError."""
    async with admin_client(settings) as admin:
        return await check_topics(admin, topics_of(settings))


@asynccontextmanager
async def publisher(settings: Settings) -> AsyncIterator[KafkaPublisher]:
    """Give a connected publisher; topics are checked first, lest a broker that makes topics by itself make one."""
    await fit_topics(settings)
    publishing = KafkaPublisher(client_arguments(settings), deadline_seconds=_PUBLISH_SECONDS, linger_ms=2)
    try:
        await publishing.start(deadline_seconds=_CONNECT_SECONDS)
        yield publishing
    finally:
        await publishing.stop()


@asynccontextmanager
async def reader(settings: Settings) -> AsyncIterator[Reader]:
    """Give a connected reader; topics are checked first, as for the publisher."""
    await fit_topics(settings)
    bound_batches(settings.max_batch_bytes)
    reading = Reader(client_arguments(settings), deadline_seconds=_CONNECT_SECONDS)
    try:
        await reading.start()
        yield reading
    finally:
        await reading.stop()
