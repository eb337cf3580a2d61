from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from deploy.local.kafka.cluster import BrokerDidNotStart, DataDirInUse, PortTaken, embedded_kafka
from runtime.kafka.connection import connected_admin
from runtime.kafka.topics import Topics, UnfitTopics, create_topics
from tests.fakes.clock import FakeClock
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kafka import Kafka

pytestmark = pytest.mark.kafka

_PARENT = """
import asyncio, pathlib, sys
from deploy.local.kafka.cluster import embedded_kafka

async def main():
    async with embedded_kafka(pathlib.Path(sys.argv[1])) as cluster:
        print(cluster.brokers[0].pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def create_topic(bootstrap_servers: str, topic: str) -> None:
    """Create *topic* with one partition."""
    async with connected_admin({"bootstrap_servers": bootstrap_servers}) as admin:
        created = await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])

    assert [0] == [error[1] for error in created.topic_errors]


async def produce(bootstrap_servers: str, topic: str, value: bytes) -> None:
    """Send one record and wait until it is acknowledged."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all") as producer:
        await producer.send_and_wait(topic, value, partition=0)


async def first_value(bootstrap_servers: str, topic: str) -> bytes:
    """Read the first record's value."""
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False) as consumer:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        record = await consumer.getone()
        return bytes(record.value)


async def test_the_suites_broker_keeps_what_is_produced(kafka: Kafka, namespace: str) -> None:
    """A record produced to the suite's broker is consumed from it."""
    topic = f"{namespace}.kept"
    await create_topic(kafka.bootstrap_servers, topic)

    await produce(kafka.bootstrap_servers, topic, b"paused")

    assert b"paused" == await first_value(kafka.bootstrap_servers, topic)


class _HurriedClock(FakeClock):
    """A clock on which nobody waits."""

    async def sleep(self, seconds: float) -> None:
        """Let *seconds* pass at once."""
        self._pass(seconds)


@pytest.mark.parametrize(
    ("partitions", "copies", "said", "passes"), [(1, 30, "Unable to replicate", True), (0, 1, "non-positive", False)]
)
async def test_a_broker_refuses_as_topics_are_created(
    kafka: Kafka, namespace: str, partitions: int, copies: int, said: str, *, passes: bool
) -> None:
    """Too few brokers are asked again until the deadline, no partitions are not; both are told in its words."""
    topics, clock = Topics(namespace), _HurriedClock()
    async with connected_admin({"bootstrap_servers": kafka.bootstrap_servers}) as admin:
        with pytest.raises(UnfitTopics, match=said):
            await create_topics(admin, topics, partitions=partitions, replication_factor=copies, clock=clock)

    assert passes == (clock.monotonic() >= 15)


@pytest.mark.slow
async def test_a_killed_broker_comes_back_with_its_data(tmp_path: Path) -> None:
    """A broker killed by SIGKILL starts again at the same address, and an acknowledged record is still there."""
    async with embedded_kafka(tmp_path) as cluster:
        (broker,) = cluster.brokers
        before = broker.pid
        await create_topic(cluster.bootstrap_servers, "kept")
        await produce(cluster.bootstrap_servers, "kept", b"acknowledged")

        await broker.kill()
        while_down = broker.pid
        await broker.start()

        assert (None, True) == (while_down, broker.pid not in (None, before))
        assert b"acknowledged" == await first_value(cluster.bootstrap_servers, "kept")


@pytest.mark.slow
async def test_data_is_kept_between_runs_and_forgotten_when_fresh(tmp_path: Path) -> None:
    """A second run finds the first one's topics on another port; a fresh one finds none."""
    async with embedded_kafka(tmp_path) as cluster:
        await create_topic(cluster.bootstrap_servers, "kept")
    topics = []
    for fresh in (False, True):
        async with (
            embedded_kafka(tmp_path, fresh=fresh) as cluster,
            connected_admin({"bootstrap_servers": cluster.bootstrap_servers}) as admin,
        ):
            topics.append(await admin.list_topics())

    assert [["kept"], []] == topics


async def test_one_instance_at_a_time(tmp_path: Path) -> None:
    """A second instance on the same data is refused, naming the process that holds it."""
    async with embedded_kafka(tmp_path) as cluster:
        with pytest.raises(DataDirInUse, match=f"process {os.getpid()}"):
            await embedded_kafka(tmp_path).__aenter__()
        with pytest.raises(PortTaken, match=f"port {cluster.bootstrap_servers.split(':')[1]} is taken"):
            await embedded_kafka(tmp_path / "other", port=int(cluster.bootstrap_servers.split(":")[1])).__aenter__()


async def test_a_broker_that_ends_says_why(tmp_path: Path) -> None:
    """A broker that cannot use its data fails at once, with the end of its log."""
    async with embedded_kafka(tmp_path) as cluster:
        (broker,) = cluster.brokers
        await broker.stop()
        (tmp_path / "broker-1" / "meta.properties").unlink()

        with pytest.raises(BrokerDidNotStart, match=r"(?s)ended.*meta\.properties"):
            await broker.start()


@pytest.mark.slow
async def test_java_ends_with_a_killed_parent(tmp_path: Path) -> None:
    """When the process that runs a broker is SIGKILLed, its Java process goes away as well."""
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220 - to be killed, not awaited
    with parent:
        assert parent.stdout is not None
        java = int(parent.stdout.readline())
        alive = runs(java)

        parent.send_signal(signal.SIGKILL)

    assert alive
    await until(lambda: not runs(java), what=f"Java process {java} to end")


def runs(pid: int) -> bool:
    """Return whether the process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
