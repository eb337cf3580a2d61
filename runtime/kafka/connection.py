"""Connect to the brokers: client arguments from the settings, admin clients, and stopping a client."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import TopicPartition

from runtime.kafka.records import Place
from runtime.settings import Settings

log = structlog.get_logger(__name__)

_AFTER_CANCEL_SECONDS = 1.0
_NO_LEADER = -1


def client_arguments(settings: Settings) -> dict[str, Any]:
    """Return the arguments of every aiokafka client; raise OSError or ssl.SSLError if a TLS file cannot be read."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": settings.kafka_security_protocol,
        "client_id": "pause-notifications",
        # aiokafka only logs some errors, such as KafkaStorageError, and does not refresh its metadata: this does. And a
        # group learns only by it that a topic which was missing at its last rebalance exists again.
        "metadata_max_age_ms": 10_000,
    }
    if settings.kafka_security_protocol.endswith("SSL"):
        arguments["ssl_context"] = _ssl_context(settings)
    if settings.kafka_security_protocol.startswith("SASL"):
        arguments["sasl_mechanism"] = settings.kafka_sasl_mechanism
        arguments["sasl_plain_username"] = settings.kafka_sasl_username
        password = settings.kafka_sasl_password
        arguments["sasl_plain_password"] = password.get_secret_value() if password else None
    return arguments


@asynccontextmanager
async def connected_admin(
    arguments: Mapping[str, Any], *, deadline_seconds: float = 10.0
) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield a connected admin client and close it at the end; raise KafkaError, OSError or TimeoutError."""
    admin = AIOKafkaAdminClient(**arguments, request_timeout_ms=int(deadline_seconds * 1000))
    try:
        async with asyncio.timeout(deadline_seconds):
            await admin.start()
        yield admin
    finally:
        await admin.close()


def leader_of(client: Any, place: Place) -> int | None:
    """Return the id of the broker that leads a partition, as far as an aiokafka client knows."""
    leader = client.cluster.leader_for_partition(TopicPartition(*place))
    return None if leader == _NO_LEADER else leader


def is_connected(client: Any) -> bool:
    """Return whether an aiokafka client has a connection to any broker."""
    return any(connection.connected() for connection in client._conns.values())  # noqa: SLF001 - it has no public probe


async def stop_client(stop: Coroutine[Any, Any, None], client: Any, *, deadline_seconds: float) -> bool:
    """
    Stop an aiokafka client; if that fails or takes longer than the deadline, only close its connections.

    Return whether it stopped in order, and raise nothing. *stop* runs as a task of its own: when brokers are gone, a
    consumer lets the CancelledError of its own fetch task escape from `stop`. In our task it would look as if we were
    cancelled, and the error for which we stop would be lost: a replica once ended with exit code 0 that way.
    """
    stopping = asyncio.create_task(stop)
    try:
        await asyncio.wait({stopping}, timeout=deadline_seconds)
        in_order = stopping.done() and not stopping.cancelled() and stopping.exception() is None
        if not in_order:
            log.warning("kafka.stop.failed", error=_failure(stopping))
            stopping.cancel()
            await asyncio.wait({stopping}, timeout=_AFTER_CANCEL_SECONDS)
            await client.close()
    finally:
        stopping.cancel()
    return in_order


def _failure(stopping: asyncio.Task[None]) -> str:
    if not stopping.done():
        return "TimeoutError"
    return "CancelledError" if stopping.cancelled() else type(stopping.exception()).__name__


def _ssl_context(settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.kafka_ssl_cafile)
    if settings.kafka_ssl_certfile:
        password = settings.kafka_ssl_password
        context.load_cert_chain(
            settings.kafka_ssl_certfile,
            settings.kafka_ssl_keyfile,
            password.get_secret_value() if password else None,
        )
    return context
