"""Where `doctor --feedback` reads reports, with a real Kafka: the topic if replicas run, else the queue."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest_asyncio
from aiokafka import AIOKafkaConsumer

from deploy.command.feedback_check.check import evidence_for
from deploy.command.feedback_check.evidence import FromQueue, FromTopic, Report, replicas_in
from deploy.support.connections import admin_client, publisher
from deploy.support.topic_creation import create_and_check
from runtime.environment import read_settings
from runtime.kafka.topics import Topics
from runtime.settings import ReplicaSettings, env_name
from runtime.signing_keys import read_signing_keys
from schemas.feedback import Feedback, FeedbackKind, feedback_json
from tests.fakes.clock import START
from tests.kafka import Kafka
from tests.signing import keys_file
from tests.unit.deploy.command.feedback_check.cloud import QUEUE_URL, SET, FakeCloud
from tests.waiting import until

ID = "0" * 31 + "a"


@dataclass
class Place:
    """An environment of its own on the broker."""

    settings: ReplicaSettings
    topics: Topics


@pytest_asyncio.fixture(name="place")
async def _place(kafka: Kafka) -> Place:
    namespace = f"t-{secrets.token_hex(4)}"
    settings = read_settings(
        ReplicaSettings,
        {
            env_name("kafka_bootstrap_servers"): kafka.bootstrap_servers,
            env_name("namespace"): namespace,
            env_name("signing_keys_file"): str(keys_file()),
            env_name("ses_events_queue_url"): QUEUE_URL,
            env_name("ses_configuration_set"): SET,
        },
    )
    await create_and_check(settings, partitions=3)
    return Place(settings, Topics(namespace))


@pytest_asyncio.fixture(name="member")
async def _member(place: Place) -> AsyncIterator[AIOKafkaConsumer]:
    """Join the group as a replica does."""
    consumer = AIOKafkaConsumer(
        *place.topics.group,
        bootstrap_servers=place.settings.kafka_bootstrap_servers,
        group_id=place.settings.consumer_group,
    )
    await consumer.start()
    await until(consumer.assignment, what="partitions")
    yield consumer
    await consumer.stop()


async def _report(place: Place) -> None:
    """Write a record of feedback as a replica does."""
    feedback = Feedback(dispatch_id=ID, recipient="doctor", message_id="m", kind=FeedbackKind.SEND, at=START)
    topic, key, value = place.topics.feedback, ID.encode(), feedback_json(feedback)
    headers = read_signing_keys(place.settings).signed(topic, key, value, [])
    async with publisher(place.settings, to=[topic]) as publishing:
        await publishing.publish(topic, 0, key=key, value=value, headers=headers)


async def test_without_a_replica_the_queue_is_read(place: Place) -> None:
    """If the group has no member, nobody would write a record, so the queue itself is read."""
    async with evidence_for(place.settings, FakeCloud(), [ID]) as evidence:
        assert isinstance(evidence, FromQueue)


async def test_with_a_replica_the_topic_is_read(place: Place, member: AIOKafkaConsumer) -> None:
    """If the group has a member, records that are written from now on are reports; older ones are not read."""
    await _report(place)
    async with evidence_for(place.settings, FakeCloud(), [ID]) as evidence:
        assert isinstance(evidence, FromTopic)
        assert [] == await evidence.new()

        await _report(place)

        assert [Report(ID, FeedbackKind.SEND)] == await until(evidence.new, what="the report")
        assert 0 == evidence.unproven


async def test_members_are_counted(place: Place, member: AIOKafkaConsumer) -> None:
    """Each replica in the group counts; a group that nobody joined has none."""
    async with admin_client(place.settings) as admin:
        assert 1 == await replicas_in(admin, place.settings.consumer_group)
        assert 0 == await replicas_in(admin, "nobody")
