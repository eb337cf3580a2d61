"""The peer on confluent-kafka: consume a batch, send its e-mails by boto3 from a pool of threads, commit."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from confluent_kafka import Consumer, KafkaException, Message

from runtime.kafka.topics import Topics
from runtime.settings import ReplicaSettings
from tests.chaos.peers.boto import AGAIN_SECONDS, DEFAULT_IN_FLIGHT, SENDS_PER_EVENT, send, ses_client
from tests.chaos.peers.mail_builder import Mailing
from tests.chaos.peers.startup import GROUP, mailing_for, probe, settings_of

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

_POLL_SECONDS = 0.2

log = structlog.get_logger(__name__)


def run(settings: ReplicaSettings, in_flight: int) -> None:
    """Consume until SIGTERM, then finish the batch and leave the group."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    sends = SENDS_PER_EVENT * in_flight
    topics = Topics(settings.namespace)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "group.id": topics.named(GROUP),
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    with probe(settings) as ready, ThreadPoolExecutor(sends, thread_name_prefix="ses") as threads:
        mailing = asyncio.run(mailing_for(settings))
        consumer.subscribe(list(topics.events), on_assign=lambda *_: ready.set())
        try:
            consume(consumer, mailing, ses_client(sends=sends), threads, in_flight, stopping)
        finally:
            consumer.close()


def consume(
    consumer: Consumer,
    mailing: Mailing,
    client: SESV2Client,
    threads: ThreadPoolExecutor,
    in_flight: int,
    stopping: threading.Event,
) -> None:
    """Process batches; commit one when all its e-mails are sent, else it is read again after a restart."""
    while not stopping.is_set():
        messages = [one for one in consumer.consume(in_flight, timeout=_POLL_SECONDS) if _is_record(one)]
        if messages and _sent(client, threads, _requests(mailing, messages), stopping):
            try:
                consumer.commit(asynchronous=False)
            except KafkaException as error:  # the next commit includes this batch, or it is read again
                log.warning("commit.failed", error=error.args[0].name())


def _is_record(message: Message) -> bool:
    error = message.error()
    if error is not None:  # librdkafka recovers by itself if it can
        log.warning("kafka.failed", error=error.name())
    return error is None


def _requests(mailing: Mailing, messages: list[Any]) -> list[dict[str, Any]]:
    return [
        request
        for one in messages
        for request in mailing.requests(
            one.headers() or [], one.value(), partition=one.partition(), timestamp_ms=one.timestamp()[1]
        )
    ]


def _sent(
    client: SESV2Client, threads: ThreadPoolExecutor, requests: list[dict[str, Any]], stopping: threading.Event
) -> bool:
    """Send all; repeat those that fail until all are sent or the peer must stop."""
    while True:
        done = threads.map(partial(send, client), requests)
        requests = [request for request, is_done in zip(requests, done, strict=True) if not is_done]
        if not requests or stopping.wait(AGAIN_SECONDS):
            return not requests


if __name__ == "__main__":
    _settings, _in_flight = settings_of(os.environ)
    run(_settings, _in_flight or DEFAULT_IN_FLIGHT)
