"""Every example of the producers' guide publishes an event of the contract to a real broker."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local.kafka.jars import find_jars
from runtime.kafka.connection import connected_admin
from runtime.kafka.records import Record, from_consumer_record
from runtime.kafka.topics import DEFAULT_PARTITIONS, Topics, create_topics
from schemas.cloudevents import decode
from schemas.contacts import CONTACTS_TOPIC
from schemas.events import EVENTS_BY_NAME, PAUSES_TOPIC, Event
from schemas.placement import partition_for
from tests.contract import guide
from tests.contract.installed import compiles_java, need, present
from tests.kafka import Kafka

# Java's and librdkafka's default partitioners differ for this id, so the right partition is not an accident.
MENTOR = "mentor-042"
EVENT_ID = "pause-8731-activated"
PAUSE = EVENTS_BY_NAME["pause-activated"]

_RUN_SECONDS = 45.0
_READ_SECONDS = 10.0


@pytest.fixture(name="command", params=sorted(guide._HOW))
def _command(request: pytest.FixtureRequest) -> list[str]:
    """Return the command that runs an example, with its file last; install what it needs."""
    file: Path = guide.EXAMPLES / request.param
    match file.suffix:
        case ".py":
            return [sys.executable, str(file)]
        case ".java":
            need(compiles_java, "default-jdk-headless")
            jars = [str(jar) for jar in find_jars(print) if re.match("kafka-clients|slf4j", jar.name)]
            return ["java", "-XX:TieredStopAtLevel=1", "-cp", ":".join(jars), str(file)]
        case _:
            need(lambda: present("kcat"), "kcat")
            return ["sh", str(file)]


async def _run(command: Sequence[str], **environ: str) -> str:
    """Run a command and return its output; kill it if it takes too long."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_RUN_SECONDS):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def _create_topics(kafka: Kafka, topics: Topics) -> None:
    async with connected_admin({"bootstrap_servers": kafka.bootstrap_servers}) as admin:
        await create_topics(admin, topics)


async def _records(kafka: Kafka, topic: str) -> list[Record]:
    """Return all records of a topic."""
    places = [TopicPartition(topic, number) for number in range(DEFAULT_PARTITIONS)]
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, enable_auto_commit=False, auto_offset_reset="earliest"
    ) as consumer:
        consumer.assign(places)
        held = sum((await consumer.end_offsets(places)).values())
        async with asyncio.timeout(_READ_SECONDS):
            return [from_consumer_record(await consumer.getone()) for _ in range(held)]


def _event(now: datetime) -> Event:
    return Event(PAUSE, EVENT_ID, "/mentoring/pauses", PAUSE.model.model_validate(PAUSE.example), time=now)


@pytest.mark.timeout(400)  # CI may have to install a program first
async def test_an_example_publishes_the_event(command: list[str], kafka: Kafka, namespace: str) -> None:
    """An example that runs twice writes one event twice, with the mentor's key and into the mentor's partition."""
    topic = Topics(namespace).named(PAUSES_TOPIC)
    await _create_topics(kafka, Topics(namespace))
    began = datetime.now(UTC).replace(microsecond=0)

    printed = [await _run([*command, kafka.bootstrap_servers, MENTOR, EVENT_ID], TOPIC=topic) for _ in range(2)]

    records = await _records(kafka, topic)
    events = [decode(record.headers, record.value) for record in records]
    number = partition_for(MENTOR, DEFAULT_PARTITIONS)
    assert [(number, MENTOR.encode())] * 2 == [(record.partition, record.key) for record in records]
    assert [_event(event.time or began) for event in events] == events
    assert all(event.time and began <= event.time <= began + timedelta(minutes=5) for event in events)
    assert [_event(began).dispatch_id] * 2 == [event.dispatch_id for event in events]
    positions = [str(record.position) for record in records]
    assert (["", ""] if command[0] == "sh" else positions) == [line.strip() for line in printed]


@pytest.mark.timeout(400)  # CI may have to install a program first
async def test_the_tombstone_forgets(kafka: Kafka, namespace: str) -> None:
    """The guide's kcat line writes a null value with the contact's key into the contact's partition."""
    need(lambda: present("kcat"), "kcat")
    topic = Topics(namespace).named(CONTACTS_TOPIC)
    await _create_topics(kafka, Topics(namespace))

    await _run(["sh", "-c", guide.code("tombstone")], TOPIC=topic, BOOTSTRAP_SERVERS=kafka.bootstrap_servers)

    (record,) = await _records(kafka, topic)
    number = partition_for(MENTOR, DEFAULT_PARTITIONS)
    assert (number, MENTOR.encode(), None) == (record.partition, record.key, record.value)


def test_the_mentor_of_these_tests_distinguishes_partitioners() -> None:
    """Librdkafka's default chooses another partition for this mentor, so a missing setting is detected."""
    crc32 = zlib.crc32(MENTOR.encode()) % DEFAULT_PARTITIONS

    assert crc32 != partition_for(MENTOR, DEFAULT_PARTITIONS)
