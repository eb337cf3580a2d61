# /// script
# requires-python = ">=3.11"
# dependencies = ["aiokafka>=0.12"]
# ///
"""Publish that a mentor's pause was activated: publish_aiokafka.py BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer


async def publish(bootstrap_servers: str, mentor_id: str, event_id: str) -> str:
    """Publish one event; return its topic-partition-offset once all in-sync replicas have it."""
    data = {
        "mentor_id": mentor_id,
        "expected_return_date": "2026-05-01T00:00:00Z",
        "pause_reason": "personal_leave",
    }
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": event_id,  # always the same for one event, and never for another
        "ce_source": "/mentoring/pauses",
        "ce_type": "mentor.pause.activated.v1",
        "ce_time": datetime.now(UTC).isoformat(timespec="seconds"),
        "content-type": "application/json",
    }
    # The default partitioner is right: murmur2 of the key. aiokafka gives up after request_timeout_ms.
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", request_timeout_ms=10_000)
    try:
        async with asyncio.timeout(30):
            await producer.start()
            record = await producer.send_and_wait(
                os.environ.get("TOPIC", "mentor.pauses.v1"),
                key=mentor_id.encode(),
                value=json.dumps(data).encode(),
                headers=[(name, text.encode()) for name, text in attributes.items()],
            )
    finally:
        await producer.stop()
    return f"{record.topic}-{record.partition}-{record.offset}"


if __name__ == "__main__":
    # An error exits with code 1. The event may have been written anyway: publish it again with the same id.
    sys.stdout.write(asyncio.run(publish(*sys.argv[1:])) + "\n")
