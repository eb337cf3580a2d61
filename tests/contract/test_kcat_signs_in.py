"""Kcat signs in to a broker with SCRAM over TLS as the producers' guide says, if its librdkafka is new enough."""

from __future__ import annotations

import asyncio
import re
from importlib.metadata import files
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from runtime.kafka.connection import connected_admin
from runtime.kafka.descriptions import Right
from runtime.kafka.topics import DEFAULT_PARTITIONS, Topics, create_topics
from schemas.events import PAUSES_TOPIC
from schemas.placement import partition_for
from tests.contract import guide
from tests.contract.installed import need, present
from tests.ended import ended
from tests.secured_kafka import PASSWORD, USER, Granted, SecuredKafka, acls
from tests.waiting import until

MENTOR = "mentor-042"
LIBRARIES = ["kcat's own", "confluent-kafka's"]
_RUN_SECONDS = 60.0


@pytest.fixture(name="configuration")
def _configuration(secured_kafka: SecuredKafka, tmp_path: Path) -> Path:
    """Return the file of the guide, with the user of the tests and the certificate to trust."""
    need(lambda: present("kcat"), "kcat")
    given = {"ssl.ca.location": secured_kafka.root, "sasl.username": USER, "sasl.password": PASSWORD}
    text = guide.code("kcat-configuration")
    for name, value in given.items():
        text, found = re.subn(rf"^{re.escape(name)}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
        assert found == 1
    file = tmp_path / "kcat.conf"
    file.write_text(text, encoding="utf-8")
    return file


def _with_library(library: str, folder: Path) -> dict[str, str]:
    """Return the environment in which kcat loads a librdkafka: Debian's may be older than what the guide asks for."""
    if library == LIBRARIES[0]:
        return {}
    (bundled,) = (one for one in files("confluent-kafka") or () if re.match(r"librdkafka-.*\.so", one.name))
    (folder / "librdkafka.so.1").symlink_to(Path(bundled.locate()).resolve())
    return {"LD_LIBRARY_PATH": str(folder)}


async def _run(command: list[str], environ: dict[str, str]) -> tuple[int | None, str]:
    """Run a command; return its exit code, and all that it printed."""
    ran = await ended(*command, within=_RUN_SECONDS, environ=environ)
    return ran.code, ran.out + ran.errors


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


@pytest.mark.timeout(400)  # CI may have to install kcat first
@pytest.mark.parametrize("library", LIBRARIES)
async def test_kcat_is_let_in_with_the_librdkafka_that_the_guide_asks_for(
    library: str, secured_kafka: SecuredKafka, configuration: Path, tmp_path: Path
) -> None:
    """It lists the brokers from that version on, and an older one is refused with the words that the guide quotes."""
    environ = {**_with_library(library, tmp_path), "KCAT_CONFIG": str(configuration)}
    text = guide.GUIDE.read_text(encoding="utf-8")
    (needed,) = re.findall(r"librdkafka (\d+\.\d+\.\d+) or newer", text)
    (refused,) = re.findall(r"refuses an older one as `(.+?)`", text)
    (used,) = re.findall(r"librdkafka (\d+\.\d+\.\d+)", (await _run(["kcat", "-V"], environ))[1])

    code, said = await _run(["kcat", "-L", "-m", "10", "-b", secured_kafka.address], environ)

    let_in = _version(used) >= _version(needed)
    assert (let_in, not let_in) == (code == 0, refused in said)


@pytest.mark.timeout(400)
async def test_the_shell_example_signs_in(
    secured_kafka: SecuredKafka, configuration: Path, namespace: str, tmp_path: Path
) -> None:
    """With the guide's file and the right to write alone, the example publishes the event."""
    topics = Topics(namespace)
    topic = topics.named(PAUSES_TOPIC)
    async with connected_admin({"bootstrap_servers": secured_kafka.bootstrap_servers}) as admin:
        await create_topics(admin, topics)
    async with acls(secured_kafka) as rights:
        await rights.grant([Granted(Right.WRITE, "topic", topic)])
    environ = {**_with_library(LIBRARIES[1], tmp_path), "KCAT_CONFIG": str(configuration), "TOPIC": topic}
    command = ["sh", str(guide.EXAMPLES / "publish.sh"), secured_kafka.address, MENTOR, "pause-8731-activated"]

    async def published() -> bool:
        code, _ = await _run(command, environ)
        return code == 0  # until the right is known to the broker

    await until(published, within=_RUN_SECONDS, what="kcat to publish")

    place = TopicPartition(topic, partition_for(MENTOR, DEFAULT_PARTITIONS))
    async with AIOKafkaConsumer(
        bootstrap_servers=secured_kafka.bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:
        consumer.assign([place])
        async with asyncio.timeout(_RUN_SECONDS):
            record = await consumer.getone()
    assert MENTOR.encode() == record.key
    assert ("ce_id", b"pause-8731-activated") in record.headers
