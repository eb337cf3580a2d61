"""Every example of the producers' guide publishes an event to a real broker, and tells what became of its e-mails."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local.kafka.jars import find_jars
from deploy.local.ports import free_ports
from runtime.kafka.connection import connected_admin
from runtime.kafka.records import Place, Record, from_consumer_record
from runtime.kafka.topics import DEFAULT_PARTITIONS, Topics, create_topics
from schemas.check import main as check
from schemas.cloudevents import NotAnEventReason, decode
from schemas.contacts import CONTACTS_TOPIC
from schemas.dead_letters import DeadLetter, to_record
from schemas.dispatch import Origin
from schemas.events import EVENTS_BY_NAME, PAUSES_TOPIC, Event
from schemas.headers import Headers
from schemas.placement import partition_for
from tests.contract import guide
from tests.contract.installed import compiles_java, need, present, require, runs
from tests.ended import ended
from tests.kafka import Kafka
from tests.stage import PARTITIONS, Stage, open_stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Java's and librdkafka's default partitioners differ for this id, so the right partition is not an accident.
MENTOR = "mentor-042"
PAUSE = EVENTS_BY_NAME["pause-activated"]

Build: TypeAlias = Callable[[str], Awaitable[list[str]]]

_BUILD_SECONDS = 300.0
_RUN_SECONDS = 90.0
_IN_VAIN_SECONDS = 240.0  # all of them at once
_READ_SECONDS = 10.0
_MAVEN_SECONDS = 900
_SPRING = {
    "spring-kafka/src/main/java/example/Publish.java",
    "spring-cloud-stream/src/main/java/example/Publish.java",
}
_BY_MAVEN = {*_SPRING, "cloudevents/java/Publish.java"}
_FRAMEWORKS = (*_BY_MAVEN, "cloudevents/go/main.go", "cloudevents/js/publish.mjs", "cloudevents/publish_cloudevents.py")
_WITHOUT_POSITION = {
    "publish.sh",
    "cloudevents/go/main.go",
    "spring-cloud-stream/src/main/java/example/Publish.java",
}
"""Examples whose client does not tell where it wrote the record."""


_ONE_LINE = (
    "publish_aiokafka.py",
    "publish_confluent.py",
    "cloudevents/publish_cloudevents.py",
    "kafkajs/publish.mjs",
    "cloudevents/js/publish.mjs",
)


def _example(name: str) -> Any:
    """Return an example as a parameter; what a tool chain compiles first is slow."""
    compiled = name in _BY_MAVEN or name.endswith(".go")
    marks = [pytest.mark.slow, pytest.mark.timeout(2 * _MAVEN_SECONDS)] if compiled else [pytest.mark.timeout(400)]
    return pytest.param(name, marks=marks)  # CI may have to install a program first


_EXAMPLES = [_example(name) for name in (*guide._HOW, *sorted(_FRAMEWORKS))]


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="stage")
async def _stage(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Yield a stage with a replica."""
    async with open_stage(kafka.bootstrap_servers, "examples", tmp_path_factory.mktemp("examples")) as stage:
        await stage.start()
        yield stage


@pytest.fixture(scope="module", name="build")
def _build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Return a function that builds an example once, and returns the command that runs it."""
    built: dict[str, list[str]] = {}

    async def build(name: str) -> list[str]:
        if name not in built:
            built[name] = await _command(name, tmp_path_factory.mktemp("example"))
        return built[name]

    return build


async def _command(name: str, folder: Path) -> list[str]:
    """Return the command that runs an example; install, in *folder*, what it needs."""
    file: Path = guide.EXAMPLES / name
    match file.suffix:
        case ".py":
            return [sys.executable, str(file)]
        case ".java" if name in _BY_MAVEN:
            return await _maven_command(file, folder)
        case ".java":
            need(compiles_java, "default-jdk-headless")
            jars = [str(jar) for jar in find_jars(print) if re.match("kafka-clients|slf4j", jar.name)]
            return ["java", "-XX:TieredStopAtLevel=1", "-cp", ":".join(jars), str(file)]
        case ".go":
            require(lambda: runs("go", "version"), "Go")
            await _run(["go", "build", "-C", str(file.parent), "-o", str(folder / "publish"), "."], _BUILD_SECONDS)
            return [str(folder / "publish")]
        case ".mjs":
            require(lambda: runs("npm", "--version"), "Node with npm")
            shutil.copytree(file.parent, folder, dirs_exist_ok=True)
            await _run(["npm", "ci", "--prefix", str(folder), "--no-audit", "--no-fund"], _BUILD_SECONDS)
            return ["node", str(folder / file.name)]
        case _:
            need(lambda: present("kcat"), "kcat")
            return ["sh", str(file)]


async def _maven_command(file: Path, folder: Path) -> list[str]:
    """Return the command that runs an example with a project of Maven's; build it in *folder*."""
    need(compiles_java, "default-jdk-headless")
    require(lambda: runs("mvn", "--version"), "Maven")
    is_spring = "src" in file.parts
    shutil.copytree(file.parents[4] if is_spring else file.parent, folder, dirs_exist_ok=True)
    maven = ["mvn", "-q", "-B", "-f", str(folder / "pom.xml")]
    if is_spring:
        await _run([*maven, "package"], _MAVEN_SECONDS)
        return ["java", "-XX:TieredStopAtLevel=1", "-jar", str(folder / "target" / "publish.jar")]
    await _run([*maven, "dependency:copy-dependencies", f"-DoutputDirectory={folder / 'jars'}"], _MAVEN_SECONDS)
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{folder / 'jars'}/*", str(folder / file.name)]


async def _run(command: Sequence[str], within: float = _RUN_SECONDS, **environ: str) -> str:
    """Run a command that succeeds, and return its output; kill it if it takes too long."""
    ran = await ended(*command, within=within, environ=environ)
    assert 0 == ran.code, ran.out + ran.errors  # Spring logs to its output
    return ran.out


async def _records(kafka: Kafka, topic: str, partitions: int = DEFAULT_PARTITIONS) -> list[Record]:
    """Return all records of a topic."""
    places = [TopicPartition(topic, number) for number in range(partitions)]
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, enable_auto_commit=False, auto_offset_reset="earliest"
    ) as consumer:
        consumer.assign(places)
        held = sum((await consumer.end_offsets(places)).values())
        async with asyncio.timeout(_READ_SECONDS):
            return [from_consumer_record(await consumer.getone()) for _ in range(held)]


def _event(event_id: str, now: datetime) -> Event:
    return Event(PAUSE, event_id, "/mentoring/pauses", PAUSE.model.model_validate(PAUSE.example), time=now)


@pytest.mark.parametrize("name", _EXAMPLES)
async def test_an_example_publishes_and_learns_the_outcome(name: str, kafka: Kafka, stage: Stage, build: Build) -> None:
    """
    An example that runs twice writes one event twice, with the mentor's key and into the mentor's partition.

    Each run prints the record's position and the final dispatch, and each recipient gets one e-mail.
    """
    topic, event_id = stage.topics.named(PAUSES_TOPIC), f"pause-8731-{name}"
    command = await build(name)
    servers = [] if name in _SPRING else [kafka.bootstrap_servers]  # Spring reads them from its own variable
    began = datetime.now(UTC).replace(microsecond=0)

    printed = [
        await _run(
            [*command, *servers, MENTOR, event_id],
            TOPIC=topic,
            DISPATCHES_TOPIC=stage.topics.dispatches,
            SPRING_KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers,
            WAIT="1",
        )
        for _ in range(2)
    ]

    every = await _records(kafka, topic, PARTITIONS)
    records = [one for one in every if event_id == _id(one)]
    events = [decode(record.headers, record.value) for record in records]
    assert [(partition_for(MENTOR, PARTITIONS), MENTOR.encode())] * 2 == [(one.partition, one.key) for one in records]
    assert [_event(event_id, event.time or began) for event in events] == events
    assert all(event.time and began <= event.time <= began + timedelta(minutes=5) for event in events)
    positions = [str(record.position) for record in records]
    *found, outcomes = zip(*(output.split("\n")[:-1] for output in printed), strict=True)
    assert ([] if name in _WITHOUT_POSITION else [tuple(positions)]) == found
    dispatch_id = _event(event_id, began).dispatch_id
    told = [json.loads(outcome) for outcome in outcomes]
    assert [(dispatch_id, ["sent", "sent"])] * 2 == [
        (one["dispatch_id"], [recipient["status"] for recipient in one["recipients"]]) for one in told
    ]
    assert [1, 1] == list(stage.ses.sent_to(dispatch_id).values())


@pytest.mark.slow
@pytest.mark.timeout(2 * _MAVEN_SECONDS)
async def test_an_example_says_that_no_outcome_came(kafka: Kafka, stage: Stage, build: Build) -> None:
    """An example that waits in vain prints what it wrote, says that no outcome came in time, and exits with code 1."""

    async def ran(name: str) -> tuple[str, int | None, bool, bool]:
        command = await build(name)
        servers = [] if name in _SPRING else [kafka.bootstrap_servers]
        topic = stage.topics.named(PAUSES_TOPIC)
        code, printed, errors = await ended(
            *command,
            *servers,
            MENTOR,
            f"in-vain-{name}",
            within=_IN_VAIN_SECONDS,
            environ={
                "TOPIC": topic,
                "DISPATCHES_TOPIC": stage.topics.dead_letters,
                "SPRING_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
                "WAIT": "1",
            },
        )
        return name, code, printed.startswith(topic), "no outcome in time" in printed + errors

    names = [*guide._HOW, *_FRAMEWORKS]
    expected = [(name, 1, name not in _WITHOUT_POSITION, True) for name in names]
    assert expected == await asyncio.gather(*map(ran, names))


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", _ONE_LINE)
async def test_an_example_without_a_broker_says_so(name: str, build: Build) -> None:
    """Without a broker an example in Python or JavaScript exits with code 1 and says why, without a stack trace."""
    command = await build(name)

    code, printed, errors = await ended(
        *command, f"localhost:{free_ports(1)[0]}", MENTOR, "unreachable", within=_RUN_SECONDS
    )

    assert (1, "") == (code, printed)
    assert re.search(r"^[A-Za-z]+: .", errors, re.MULTILINE)  # librdkafka may log after it
    assert not re.search(r"^(Traceback|    at )", errors, re.MULTILINE)


@pytest.mark.parametrize("name", _EXAMPLES)
async def test_an_example_with_wrong_arguments_says_how_it_is_used(name: str, build: Build) -> None:
    """Without arguments, or with one too few or too many, an example says its usage, and exits with code 2."""
    command = await build(name)
    needed = ["MENTOR_ID", "EVENT_ID"] if name in _SPRING else ["BOOTSTRAP_SERVERS", "MENTOR_ID", "EVENT_ID"]

    ran = [await ended(*command, *given, within=_RUN_SECONDS) for given in ([], needed[1:], [*needed, "more"])]

    assert [(2, "")] * 3 == [(code, printed) for code, printed, _ in ran]
    for *_, errors in ran:
        usage = re.search(r"^usage: .*", errors, re.MULTILINE)
        assert usage is not None
        assert usage[0].endswith(" ".join(needed))
        assert len(errors.splitlines()) <= 2


def _id(record: Record) -> str | None:
    return None if record.value is None else decode(record.headers, record.value).id


async def test_kcats_output_can_be_checked(
    kafka: Kafka, stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What kcat prints of a topic is read by the check: an event in its place, and an invalid record."""
    need(lambda: present("kcat"), "kcat")
    topic = stage.topics.named(PAUSES_TOPIC)
    await stage.publish(_event("checked", datetime.now(UTC)))
    await stage.put(PAUSES_TOPIC, MENTOR, key=b"other", value=None, headers=[("ce_id", None)])
    kcat = ["kcat", "-C", "-e", "-q", "-J", "-b", kafka.bootstrap_servers, "-t", topic]
    file = tmp_path / "records.jsonl"
    file.write_text(await _run(kcat), encoding="utf-8")

    code = check(["--json", "--partitions", str(PARTITIONS), "--namespace", stage.topics.namespace, str(file)])

    judgements = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (event,) = (one for one in judgements if one.get("id") == "checked")
    assert (True, [], ["mentor", "coordinator"]) == (event["event"], event["misplaced"], event["told"])
    assert (1, ["null_value"]) == (code, [one["reason"] for one in judgements if not one["event"]])


@pytest.mark.timeout(400)  # CI may have to install a program first
async def test_a_producer_finds_its_own_dead_letters(kafka: Kafka, stage: Stage) -> None:
    """The guide's lines print those of one source in either mode, and no others."""
    need(lambda: present("kcat"), "kcat")
    need(lambda: present("jq"), "jq")
    origin = Origin(topic="t", partition=5, offset=7, appended_at=datetime(2026, 3, 26, tzinfo=UTC))
    structured = json.dumps({"source": "/mentoring/own", "id": 7}).encode()
    written: Sequence[tuple[bytes | None, Headers]] = [
        (b"{}", [("ce_source", b"/mentoring/own"), ("ce_id", b"own"), ("x", None)]),
        (b"{}", [("ce_source", b"/other"), ("ce_id", b"other")]),
        (structured, [("content-type", b"application/cloudevents+json")]),
        (b"no JSON", []),
        (None, []),
    ]
    for value, headers in written:
        letter = DeadLetter(NotAnEventReason.INVALID_DATA, origin, b"k", value, headers, detail="mentor_id: is missing")
        key, body, more = to_record(letter)
        await stage.put_at(Place(stage.topics.dead_letters, 0), key=key, value=body, headers=more)
    lines = guide.code("own-dead-letters").replace("/mentoring/pauses", "/mentoring/own")

    printed = await _run(
        ["sh", "-c", lines], TOPIC=stage.topics.dead_letters, BOOTSTRAP_SERVERS=kafka.bootstrap_servers
    )

    known = {"at": str(origin.position), "reason": "invalid_data", "detail": "mentor_id: is missing"}
    assert [{**known, "id": "own"}, {**known, "id": 7}] == [json.loads(line) for line in printed.splitlines()]


@pytest.mark.timeout(400)  # CI may have to install a program first
async def test_the_tombstone_forgets(kafka: Kafka, namespace: str) -> None:
    """The guide's kcat line writes a null value with the contact's key into the contact's partition."""
    need(lambda: present("kcat"), "kcat")
    topic = Topics(namespace).named(CONTACTS_TOPIC)
    async with connected_admin({"bootstrap_servers": kafka.bootstrap_servers}) as admin:
        await create_topics(admin, Topics(namespace))

    await _run(["sh", "-c", guide.code("tombstone")], TOPIC=topic, BOOTSTRAP_SERVERS=kafka.bootstrap_servers)

    (record,) = await _records(kafka, topic)
    number = partition_for(MENTOR, DEFAULT_PARTITIONS)
    assert (number, MENTOR.encode(), None) == (record.partition, record.key, record.value)


async def test_the_mentor_of_these_tests_distinguishes_partitioners() -> None:
    """Librdkafka's default chooses another partition for this mentor, so a missing setting is detected."""
    crc32 = zlib.crc32(MENTOR.encode()) % PARTITIONS

    assert crc32 != partition_for(MENTOR, PARTITIONS)
