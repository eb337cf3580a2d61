# /// script
# requires-python = ">=3.11"
# dependencies = ["aiokafka>=0.12", "cloudevents>=2.2"]
# ///
"""Publish that a mentor's pause was activated: publish_cloudevents.py BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer
from cloudevents.core.bindings.kafka import to_binary_event
from cloudevents.core.v1.event import CloudEvent


async def main(bootstrap_servers: str, mentor_id: str, event_id: str) -> None:
    """Publish one event, and print its position once all in-sync replicas have it."""
    event = CloudEvent(
        attributes={
            "id": event_id,  # always the same for one event, and never for another: the SDK makes a random one
            "source": "/mentoring/pauses",
            "type": "mentor.pause.activated.v1",
            "time": datetime.now(UTC).replace(microsecond=0),
            "datacontenttype": "application/json",
            "partitionkey": mentor_id,  # becomes the record's key
        },
        data={
            "mentor_id": mentor_id,
            "expected_return_date": "2026-05-01T00:00:00Z",
            "pause_reason": "personal_leave",
        },
    )
    message = to_binary_event(event)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", request_timeout_ms=10_000)
    try:
        async with asyncio.timeout(30):
            await producer.start()
            record = await producer.send_and_wait(
                os.environ.get("TOPIC", "mentor.pauses.v1"),
                key=str(message.key).encode(),  # the SDK's key is text
                value=message.value,
                headers=list(message.headers.items()),  # the SDK's headers are a dict
            )
    finally:
        await producer.stop()
    sys.stdout.write(f"{record.topic}-{record.partition}-{record.offset}\n")


if __name__ == "__main__":
    # An error exits with code 1. The event may have been written anyway: publish it again with the same id.
    asyncio.run(main(*sys.argv[1:]))
