"""The peer with gather: aiokafka's getmany, all e-mails of the batch in parallel by boto3 in threads, one commit."""

from __future__ import annotations

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import structlog
import uvloop
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from runtime.kafka.topics import Topics
from runtime.settings import ReplicaSettings
from tests.chaos.peers.boto import AGAIN_SECONDS, DEFAULT_IN_FLIGHT, SENDS_PER_EVENT, send, ses_client
from tests.chaos.peers.mail_builder import Mailing
from tests.chaos.peers.startup import GROUP, mailing_for, probe, settings_of

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

_POLL_MS = 200

log = structlog.get_logger(__name__)


async def run(settings: ReplicaSettings, in_flight: int) -> None:
    """Consume until SIGTERM, then finish the batch and leave the group."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    sends = SENDS_PER_EVENT * in_flight
    loop.set_default_executor(ThreadPoolExecutor(sends, thread_name_prefix="ses"))
    topics = Topics(settings.namespace)
    consumer = AIOKafkaConsumer(
        *topics.events,
        bootstrap_servers=settings.kafka_bootstrap_servers,
        group_id=topics.named(GROUP),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    with probe(settings) as ready:
        mailing = await mailing_for(settings)
        await consumer.start()
        try:
            ready.set()
            await consume(consumer, mailing, ses_client(sends=sends), in_flight, stopping)
        finally:
            await consumer.stop()


async def consume(
    consumer: AIOKafkaConsumer, mailing: Mailing, client: SESV2Client, in_flight: int, stopping: asyncio.Event
) -> None:
    """Process batches; commit one when all its e-mails are sent, else it is read again after a restart."""
    while not stopping.is_set():
        try:
            batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=in_flight)
            if batches and await _sent(client, _requests(mailing, batches), stopping):
                await consumer.commit()
        except KafkaError as error:  # the next commit includes this batch, or it is read again
            log.warning("kafka.failed", error=type(error).__name__)
            await asyncio.sleep(AGAIN_SECONDS)


def _requests(mailing: Mailing, batches: dict[Any, list[Any]]) -> list[dict[str, Any]]:
    return [
        request
        for batch in batches.values()
        for one in batch
        for request in mailing.requests(one.headers, one.value, partition=one.partition, timestamp_ms=one.timestamp)
    ]


async def _sent(client: SESV2Client, requests: list[dict[str, Any]], stopping: asyncio.Event) -> bool:
    """Send all; repeat those that fail until all are sent or the peer must stop."""
    while True:
        done = await asyncio.gather(*(asyncio.to_thread(send, client, request) for request in requests))
        requests = [request for request, is_done in zip(requests, done, strict=True) if not is_done]
        if not requests or stopping.is_set():
            return not requests
        await asyncio.sleep(AGAIN_SECONDS)


if __name__ == "__main__":
    _settings, _in_flight = settings_of(os.environ)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(_settings, _in_flight or DEFAULT_IN_FLIGHT))
