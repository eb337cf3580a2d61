# /// script
# requires-python = ">=3.11"
# dependencies = ["confluent-kafka>=2.4"]
# ///
"""Publish that a mentor's pause was activated: publish_confluent.py BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime

from confluent_kafka import KafkaError, KafkaException, Message, Producer


def publish(bootstrap_servers: str, mentor_id: str, event_id: str) -> str:
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
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "partitioner": "murmur2_random",  # the default, consistent_random, chooses other partitions
            "acks": "all",
            "enable.idempotence": True,  # retries within the client neither duplicate nor reorder
            "delivery.timeout.ms": 30_000,
        }
    )
    places: list[str] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            raise KafkaException(error)
        places.append(f"{message.topic()}-{message.partition()}-{message.offset()}")

    producer.produce(
        os.environ.get("TOPIC", "mentor.pauses.v1"),
        key=mentor_id.encode(),
        value=json.dumps(data).encode(),
        headers=[(name, text.encode()) for name, text in attributes.items()],
        on_delivery=delivered,
    )
    if producer.flush(40):
        raise TimeoutError("not acknowledged in time")
    return places[0]


if __name__ == "__main__":
    # An error exits with code 1. The event may have been written anyway: publish it again with the same id.
    sys.stdout.write(publish(*sys.argv[1:]) + "\n")
