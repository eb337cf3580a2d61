"""The peer on FastStream, with its defaults: one handler, whose e-mails aiobotocore sends in parallel.

The defaults say ACK_FIRST, "at most once": offsets are committed every five seconds, whatever became of their events,
and a handler's error is logged. Only `auto_offset_reset` is not as it comes ("latest"): what lies
there before the first start would be lost.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import uvloop
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from faststream import FastStream
from faststream.kafka import KafkaBroker
from faststream.kafka.annotations import KafkaMessage

from runtime.kafka.topics import Topics
from runtime.settings import ReplicaSettings
from tests.chaos.peers.boto import SENDS_PER_EVENT
from tests.chaos.peers.mail_builder import Mailing
from tests.chaos.peers.startup import GROUP, mailing_for, probe, settings_of


async def run(settings: ReplicaSettings, in_flight: int | None) -> None:
    """Consume until SIGTERM, then stop as FastStream does: handlers may finish within 15 seconds."""
    config = AioConfig(max_pool_connections=SENDS_PER_EVENT * in_flight) if in_flight else None
    with probe(settings) as ready:
        async with get_session().create_client("sesv2", config=config) as client:
            app = application(settings, in_flight, await mailing_for(settings), client)
            app.after_startup(ready.set)  # by then its consumer has its partitions
            await app.run()


def application(settings: ReplicaSettings, in_flight: int | None, mailing: Mailing, client: Any) -> FastStream:
    """Return the app; *in_flight* is FastStream's `max_workers`."""
    topics = Topics(settings.namespace)
    broker = KafkaBroker(settings.kafka_bootstrap_servers.split(","))

    @broker.subscriber(
        *topics.events, group_id=topics.named(GROUP), auto_offset_reset="earliest", max_workers=in_flight
    )
    async def notify(message: KafkaMessage) -> None:
        one: Any = message.raw_message
        requests = mailing.requests(one.headers, one.value, partition=one.partition, timestamp_ms=one.timestamp)
        await asyncio.gather(*(client.send_email(**request) for request in requests))

    return FastStream(broker)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the loop of FastStream's command
        runner.run(run(*settings_of(os.environ)))
