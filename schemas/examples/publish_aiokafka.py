# /// script
# requires-python = ">=3.11"
# dependencies = ["aiokafka>=0.12"]
# ///
"""Publish that a mentor's pause was activated: publish_aiokafka.py BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

SOURCE = "/mentoring/pauses"


async def publish(bootstrap_servers: str, mentor_id: str, event_id: str) -> tuple[str, int, int]:
    """Publish one event; return its topic, partition and offset once all in-sync replicas have it."""
    data = {
        "mentor_id": mentor_id,
        "expected_return_date": "2026-05-01T00:00:00Z",
        "pause_reason": "personal_leave",
    }
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": event_id,  # always the same for one event, and never for another
        "ce_source": SOURCE,
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
    return record.topic, record.partition, record.offset


async def outcome(bootstrap_servers: str, dispatch_id: str, partition: int, since_ms: int) -> str:
    """Return the final record of a dispatch: what became of the e-mails."""
    place = TopicPartition(os.environ.get("DISPATCHES_TOPIC", "pause-notifications.dispatches.v1"), partition)
    with suppress(TimeoutError):
        async with asyncio.timeout(40), AIOKafkaConsumer(bootstrap_servers=bootstrap_servers) as consumer:
            consumer.assign([place])
            end = (await consumer.end_offsets([place]))[place]
            found = (await consumer.offsets_for_times({place: since_ms - 60_000}))[place]  # clocks may differ
            consumer.seek(place, end if found is None else found.offset)
            async for record in consumer:
                if record.key == dispatch_id.encode() and any(name == "pn_final" for name, _ in record.headers):
                    return bytes(record.value).decode()
    raise TimeoutError("no outcome in time")


async def main(bootstrap_servers: str, mentor_id: str, event_id: str) -> None:
    """Publish, and if WAIT is set, wait for the outcome."""
    began_ms = int(datetime.now(UTC).timestamp() * 1000)
    topic, partition, offset = await publish(bootstrap_servers, mentor_id, event_id)
    sys.stdout.write(f"{topic}-{partition}-{offset}\n")
    if os.environ.get("WAIT"):
        dispatch_id = hashlib.sha256(f"{SOURCE}\0{event_id}\0{mentor_id}".encode()).hexdigest()[:32]
        sys.stdout.write(await outcome(bootstrap_servers, dispatch_id, partition, began_ms) + "\n")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    for name in ("bootstrap_servers", "mentor_id", "event_id"):
        arguments.add_argument(name, metavar=name.upper())
    given = arguments.parse_args()
    try:
        asyncio.run(main(**vars(given)))
    except (KafkaError, OSError) as error:  # a TimeoutError is an OSError
        # It exits with code 1. The event may have been written anyway: publish it again with the same id.
        sys.exit(f"{type(error).__name__}: {error}")
