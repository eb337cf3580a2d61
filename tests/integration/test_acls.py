"""The ACLs that deploy/README.md documents, on a broker with SCRAM-SHA-512, TLS and Kafka's own authorizer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

import consumers.bootstrap
import service.kafka_clients
from runtime.kafka.connection import connected_admin
from runtime.kafka.descriptions import Right
from runtime.kafka.diagnosis import diagnose
from runtime.kafka.records import Place, from_consumer_record
from runtime.kafka.rights import Needs
from runtime.kafka.topics import MissingRights, Topics, check_topics
from runtime.process import EXIT_REFUSED
from schemas.cloudevents import NotAnEventReason
from schemas.dead_letters import DeadLetter, to_record
from schemas.dispatch import Origin
from tests import processes
from tests.secured_kafka import Acls, Granted, SecuredKafka, acls, all_of
from tests.stage import Stage, an_event, open_stage
from tests.waiting import until

GROUP = "pause-notifications"
_FEW_LINES = 100
"""Before a refusal was waited out, a lost right was some hundred lines a second."""


def needs_of(program: str, namespace: str) -> Needs:
    """Return what a program needs in a namespace."""
    topics = Topics(namespace)
    if program == "service":
        return service.kafka_clients.needs(topics)
    return consumers.bootstrap.needs(topics, topics.named(GROUP))


@pytest_asyncio.fixture(name="stage")
async def _stage(secured_kafka: SecuredKafka, namespace: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """Set a stage up beyond the ACLs, which are for the programs alone."""
    async with open_stage(secured_kafka.bootstrap_servers, namespace, tmp_path) as stage:
        yield stage


@pytest_asyncio.fixture(name="rights")
async def _rights(secured_kafka: SecuredKafka) -> AsyncIterator[Acls]:
    """Return the ACLs to change."""
    async with acls(secured_kafka) as changing:
        yield changing


@pytest.mark.parametrize("program", ["service", "consumers"])
async def test_each_right_that_is_taken_away_is_named(
    program: str, secured_kafka: SecuredKafka, stage: Stage, rights: Acls
) -> None:
    """A start says which right on which topic or group is missing, whichever it is, and what grants it."""
    needs = needs_of(program, stage.topics.namespace)
    await rights.grant(all_of(needs))
    named: dict[Granted, tuple[Granted, ...] | None] = {}
    async with connected_admin(secured_kafka.arguments) as admin:

        async def missing() -> tuple[Granted, ...] | None:
            try:
                await check_topics(admin, stage.topics, needs)
            except MissingRights as error:
                return error.missing
            except KafkaError:  # a right changed between two questions, or the group's coordinator is being made
                return None
            return ()

        async def nothing_missing() -> bool:
            return await missing() == ()

        await until(nothing_missing, what="all rights to be known to the broker")
        for right in all_of(needs):
            await rights.take_away(right)
            named[right] = await until(missing, what=f"{right} to be missed")
            await rights.grant([right])
            await until(nothing_missing, what=f"{right} to be granted again")

    assert {right: (right,) for right in all_of(needs)} == named


@pytest.mark.parametrize(("program", "topic"), [("service", "mentor.pauses.v1"), ("consumers", None)])
async def test_a_program_without_a_right_does_not_start(
    program: str, topic: str | None, secured_kafka: SecuredKafka, stage: Stage, rights: Acls, tmp_path: Path
) -> None:
    """The exit code is 2, and the last line names the right and the command that grants it."""
    needs = needs_of(program, stage.topics.namespace)
    name = stage.topics.named(topic or GROUP)
    granted = all_of(needs)
    (taken,) = [one for one in granted if one.name == name and str(one.right) == ("Write" if topic else "Read")]
    await rights.grant(one for one in granted if one != taken)
    settings = {"namespace": stage.topics.namespace, **secured_kafka.settings}

    async with processes.running(program, settings, log_as=tmp_path / "refused.log") as process:
        await until(lambda: not process.running, within=processes.READY_SECONDS, what="the program to end")

        assert f"exit code {EXIT_REFUSED}" == process.end
        last = process.log.read_text().rstrip().splitlines()[-1]
        assert f"Kafka's ACLs do not allow: {taken}. " in last
        assert taken.command in last


async def test_the_documented_rights_suffice_and_lost_ones_are_told(
    secured_kafka: SecuredKafka, stage: Stage, rights: Acls
) -> None:
    """With what is documented events are sent; lost rights are named, and no replica is ready until they are back."""
    needs = needs_of("consumers", stage.topics.namespace)
    await rights.grant(all_of(needs))
    replica = await stage.start("consumers", **secured_kafka.settings)
    event = an_event()
    await stage.publish(event)
    await stage.ended(event)
    lost = [
        one
        for one in all_of(needs)
        if (one.name, str(one.right))
        in {(stage.topics.events[0], "Read"), (stage.topics.dispatches, "Write"), (needs.group, "Read")}
    ]

    async def health() -> tuple[int, object]:
        status, body = await replica.health()
        return status, body["missing_rights"]

    async def is_unready() -> bool:
        return await health() == (503, [str(one) for one in lost])

    async def is_ready() -> bool:
        return await health() == (200, [])

    for one in lost:
        await rights.take_away(one)
    await until(is_unready, within=20, what="the replica not to be ready")
    kept = an_event(mentor_id="mentor-002")
    await stage.publish(kept)
    await rights.grant(lost)
    await until(is_ready, within=20, what="the replica to be ready again")

    assert (await stage.ended(kept)).final
    assert len(replica.log.read_text().splitlines()) < _FEW_LINES


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"sasl_plain_password": "another"}, "user or password is refused"),
        ({"sasl_mechanism": "SCRAM-SHA-256"}, "SASL mechanism SCRAM-SHA-256 is not offered"),
        ({"security_protocol": "SSL"}, "the connection was closed by the other side; does that port speak SSL"),
        ({"security_protocol": "PLAINTEXT"}, "the connection was closed by the other side"),
    ],
    ids=["password", "mechanism", "no sign-in", "no TLS"],
)
async def test_why_a_broker_lets_nobody_in_is_said(
    wrong: dict[str, str], says: str, secured_kafka: SecuredKafka
) -> None:
    """A real broker's refusals are told apart, each with the setting that it is about."""
    said = await diagnose({**secured_kafka.arguments, **wrong})

    assert said.startswith(f"{secured_kafka.address}: {says}")


async def test_whoever_is_let_in_has_no_trouble(secured_kafka: SecuredKafka) -> None:
    """With the right settings nothing is wrong."""
    assert "" == await diagnose(secured_kafka.arguments)


async def test_read_alone_suffices_to_see_dead_letters(secured_kafka: SecuredKafka, stage: Stage, rights: Acls) -> None:
    """A producer with the one right that its guide names reads the topic of dead letters, without a group."""
    place = TopicPartition(stage.topics.dead_letters, 0)
    origin = Origin(topic="t", partition=5, offset=7, appended_at=datetime(2026, 3, 26, tzinfo=UTC))
    key, written, headers = to_record(DeadLetter(NotAnEventReason.INVALID_DATA, origin, b"k", b"{}", []))
    await stage.put_at(Place(*place), key=key, value=written, headers=headers)
    await rights.grant([Granted(Right.READ, "topic", place.topic)])

    async def value() -> bytes | None:
        try:
            async with AIOKafkaConsumer(**secured_kafka.arguments, auto_offset_reset="earliest") as consumer:
                consumer.assign([place])
                return from_consumer_record(await consumer.getone()).value
        except KafkaError:  # the right is not known to the broker yet
            return None

    assert b"{}" == await until(value, within=20, what="the right to be known to the broker")
