# /// script
# requires-python = ">=3.11"
# dependencies = ["confluent-kafka>=2.4"]
# ///
"""Publish that a mentor's pause was activated: publish_confluent.py BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from datetime import UTC, datetime

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

SOURCE = "/mentoring/pauses"


def publish(bootstrap_servers: str, mentor_id: str, event_id: str) -> Message:
    """Publish one event; return its record once all in-sync replicas have it."""
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
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "partitioner": "murmur2_random",  # the default, consistent_random, chooses other partitions
            "acks": "all",
            "enable.idempotence": True,  # retries within the client neither duplicate nor reorder
            "delivery.timeout.ms": 30_000,
        }
    )
    written: list[Message] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            raise KafkaException(error)
        written.append(message)

    producer.produce(
        os.environ.get("TOPIC", "mentor.pauses.v1"),
        key=mentor_id.encode(),
        value=json.dumps(data).encode(),
        headers=[(name, text.encode()) for name, text in attributes.items()],
        on_delivery=delivered,
    )
    if producer.flush(40):
        raise TimeoutError("not acknowledged in time")
    return written[0]


def outcome(bootstrap_servers: str, dispatch_id: str, partition: int, since_ms: int) -> str:
    """Return the final record of a dispatch: what became of the e-mails."""
    topic = os.environ.get("DISPATCHES_TOPIC", "pause-notifications.dispatches.v1")
    since = TopicPartition(topic, partition, since_ms - 60_000)  # clocks may differ
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "mentoring", "enable.auto.commit": False})
    try:
        _, end = consumer.get_watermark_offsets(since, timeout=10)
        (found,) = consumer.offsets_for_times([since], timeout=10)
        found.offset = end if found.offset < 0 else found.offset
        consumer.assign([found])  # nothing is committed, and no group joined
        late = time.monotonic() + 40
        while time.monotonic() < late:
            message = consumer.poll(1)
            if message is None or message.error() or message.key() != dispatch_id.encode():
                continue
            if any(header[0] == "pn_final" for header in message.headers() or ()):
                return (message.value() or b"").decode()
    finally:
        consumer.close()
    raise TimeoutError("no outcome in time")


def main(bootstrap_servers: str, mentor_id: str, event_id: str) -> None:
    """Publish, and if WAIT is set, wait for the outcome."""
    began_ms = int(datetime.now(UTC).timestamp() * 1000)
    written = publish(bootstrap_servers, mentor_id, event_id)
    sys.stdout.write(f"{written.topic()}-{written.partition()}-{written.offset()}\n")
    if os.environ.get("WAIT"):
        dispatch_id = hashlib.sha256(f"{SOURCE}\0{event_id}\0{mentor_id}".encode()).hexdigest()[:32]
        sys.stdout.write(outcome(bootstrap_servers, dispatch_id, written.partition() or 0, began_ms) + "\n")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    for name in ("bootstrap_servers", "mentor_id", "event_id"):
        arguments.add_argument(name, metavar=name.upper())
    given = arguments.parse_args()
    try:
        main(**vars(given))
    except (KafkaException, OSError) as error:  # a TimeoutError is an OSError
        # It exits with code 1. The event may have been written anyway: publish it again with the same id.
        sys.exit(f"{type(error).__name__}: {error}")
