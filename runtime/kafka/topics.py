"""The eight topics: their names and how they must be configured."""

from __future__ import annotations

import asyncio
import random as system_random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidReplicationFactorError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest

from runtime.backoff import backoff_seconds
from runtime.clock import Clock, SystemClock
from runtime.kafka.descriptions import Right, describe_topics
from runtime.kafka.rights import Missing, Needs, missing_of_group, missing_of_topics
from schemas import placement
from schemas.contacts import CONTACTS_TOPIC
from schemas.controls import CONTROLS_TOPIC
from schemas.dead_letters import DEAD_LETTERS_TOPIC
from schemas.dispatch import DISPATCHES_TOPIC
from schemas.events import CERTIFICATIONS_TOPIC, EVENT_TOPICS, PAUSES_TOPIC
from schemas.feedback import FEEDBACK_TOPIC
from schemas.suppressions import SUPPRESSIONS_TOPIC

_KNOWN_AGAIN_SECONDS = 0.05
_CREATE_AGAIN_SECONDS, _CREATE_AGAIN_MAX_SECONDS = 0.2, 2.0
_THROTTLED = 89
"""THROTTLING_QUOTA_EXCEEDED, which aiokafka does not know."""
_DAY_MS = 24 * 3600 * 1000
DEFAULT_PARTITIONS = placement.DEFAULT_PARTITIONS


class UnfitTopics(Exception):
    """Topics are missing or misconfigured; the message names each and the command that helps."""


class MissingRights(UnfitTopics):
    """Rights on topics or the group are missing; the message names each and the command that grants the first."""

    def __init__(self, missing: Sequence[Missing]) -> None:
        self.missing = tuple(missing)
        super().__init__(
            f"Kafka's ACLs do not allow: {'; '.join(map(str, missing))}. Grant them to this program's user, such as: "
            f"{missing[0].command}"
        )


@dataclass(frozen=True)
class Topics:
    """The names of the topics in one namespace."""

    namespace: str = ""

    def named(self, topic: str) -> str:
        """Return the name of one of the contract's topics in this namespace."""
        return f"{self.namespace}.{topic}" if self.namespace else topic

    def plain(self, name: str) -> str:
        """Return a topic's name in the contract, without the namespace."""
        return name.removeprefix(f"{self.namespace}.") if self.namespace else name

    @property
    def events(self) -> tuple[str, ...]:
        """Return the event topics."""
        return tuple(self.named(topic) for topic in EVENT_TOPICS)

    @property
    def dispatches(self) -> str:
        """Return the topic of dispatches."""
        return self.named(DISPATCHES_TOPIC)

    @property
    def contacts(self) -> str:
        """Return the topic of contacts."""
        return self.named(CONTACTS_TOPIC)

    @property
    def dead_letters(self) -> str:
        """Return the topic of dead letters."""
        return self.named(DEAD_LETTERS_TOPIC)

    @property
    def feedback(self) -> str:
        """Return the topic of feedback."""
        return self.named(FEEDBACK_TOPIC)

    @property
    def suppressions(self) -> str:
        """Return the topic of suppressions."""
        return self.named(SUPPRESSIONS_TOPIC)

    @property
    def controls(self) -> str:
        """Return the topic of controls."""
        return self.named(CONTROLS_TOPIC)

    @property
    def group(self) -> tuple[str, ...]:
        """Return what the group of replicas consumes."""
        return (*self.events, self.feedback)

    @property
    def all(self) -> tuple[str, ...]:
        """Return all eight."""
        return (
            *self.events,
            self.contacts,
            self.dispatches,
            self.feedback,
            self.suppressions,
            self.controls,
            self.dead_letters,
        )


_TIMES = {"message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete"}
_COMPACTED = {
    "cleanup.policy": "compact",
    # A deleted address is compacted away a day later, once a later record has closed its segment.
    "max.compaction.lag.ms": str(_DAY_MS),
    "segment.ms": str(_DAY_MS // 4),
    # Tombstones are kept longer, so that a follower that was away still learns of a deletion.
    "delete.retention.ms": str(7 * _DAY_MS),
}

CONFIGS: Mapping[str, Mapping[str, str]] = {
    PAUSES_TOPIC: {"retention.ms": str(14 * _DAY_MS), **_TIMES},
    CERTIFICATIONS_TOPIC: {"retention.ms": str(14 * _DAY_MS), **_TIMES},
    CONTACTS_TOPIC: _COMPACTED,
    DISPATCHES_TOPIC: {"retention.ms": str(28 * _DAY_MS), **_TIMES},
    FEEDBACK_TOPIC: {"retention.ms": str(28 * _DAY_MS), **_TIMES},
    SUPPRESSIONS_TOPIC: _COMPACTED,
    CONTROLS_TOPIC: {"message.timestamp.type": "LogAppendTime", **_COMPACTED},
    DEAD_LETTERS_TOPIC: {"retention.ms": str(30 * _DAY_MS), **_TIMES},
}


def partitions_of(plain: str, partitions: int = DEFAULT_PARTITIONS) -> int:
    """Return how many partitions one of the contract's topics has, where event topics have *partitions*."""
    return 1 if plain == CONTROLS_TOPIC else partitions


def topic_configs(plain: str, replication_factor: int) -> dict[str, str]:
    """Return the configuration of one of the contract's topics at a replication factor."""
    return {
        **CONFIGS[plain],
        "min.insync.replicas": str(min(2, replication_factor)),
        "unclean.leader.election.enable": "false",
    }


async def create_topics(
    admin: AIOKafkaAdminClient,
    topics: Topics,
    *,
    partitions: int = DEFAULT_PARTITIONS,
    replication_factor: int = 1,
    deadline_seconds: float = 15.0,
    clock: Clock | None = None,
    random: Callable[[], float] = system_random.random,
) -> list[str]:
    """
    Create the topics that are missing and return their names.

    Raises:
        UnfitTopics: The broker refuses one, and not only for a moment.
    """
    described = await describe_topics(admin, topics.all, deadline_seconds=deadline_seconds)
    # A forbidden topic may be missing: a user who may create topics need not have the right to see them.
    names = [name for name, topic in described.items() if topic.missing or topic.forbidden]
    if not names:
        return []
    new = [
        NewTopic(
            name,
            partitions_of(topics.plain(name), partitions),
            replication_factor,
            topic_configs=topic_configs(topics.plain(name), replication_factor),
        )
        for name in names
    ]
    await _until_created(admin, new, deadline_seconds, clock or SystemClock(), random)
    await _until_known(admin, names, deadline_seconds)
    return names


async def _until_created(
    admin: AIOKafkaAdminClient,
    new: Sequence[NewTopic],
    deadline_seconds: float,
    clock: Clock,
    random: Callable[[], float],
) -> None:
    """Create topics: ask again for what was refused for a moment, and raise UnfitTopics at the deadline."""
    deadline, attempt = clock.monotonic() + deadline_seconds, 1
    while True:
        async with asyncio.timeout(deadline_seconds):
            response = await admin.create_topics(list(new), timeout_ms=int(deadline_seconds * 1000))
        # aiokafka itself never raises here. What an earlier attempt has made after all exists.
        fine = {TopicAlreadyExistsError.errno, 0} if attempt > 1 else {0}
        refused = {error[0]: error for error in response.topic_errors if error[1] not in fine}
        if not refused:
            return
        seconds_left = deadline - clock.monotonic()
        if seconds_left <= 0 or not all(_passes(error[1]) for error in refused.values()):
            refusals = "; ".join(_refusal(*error) for error in refused.values())
            raise UnfitTopics(f"The broker refused to create topics: {refusals}")
        new = [topic for topic in new if topic.name in refused]
        base, ceiling = _CREATE_AGAIN_SECONDS, _CREATE_AGAIN_MAX_SECONDS
        pause = backoff_seconds(attempt, base=base, ceiling=ceiling, random=random)
        await clock.sleep(min(pause, seconds_left))
        attempt += 1


def _passes(code: int) -> bool:
    """Return whether a refusal may be over in a moment: too few brokers are registered, or all of them are fenced."""
    error = for_code(code)
    return error.retriable or error is InvalidReplicationFactorError or code == _THROTTLED


def _refusal(name: str, code: int, message: str | None = None) -> str:
    problem = f"{name}: {message or for_code(code).__name__}"
    if for_code(code) in (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
        return f"{problem} Grant it with: {Missing(Right.CREATE, 'topic', name).command}"
    return problem


async def _until_known(admin: AIOKafkaAdminClient, names: Sequence[str], deadline_seconds: float) -> None:
    """
    Wait until every broker knows the topics that the controller has just created: each learns of them a moment later.

    The next request may go to any broker. Do not wait for a broker that cannot be reached.
    """
    async with asyncio.timeout(deadline_seconds):
        for broker in (await admin.describe_cluster())["brokers"]:
            while not set(names) <= await _known_to(admin, broker["node_id"], names):  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(_KNOWN_AGAIN_SECONDS)


async def _known_to(admin: AIOKafkaAdminClient, node_id: int, names: Sequence[str]) -> set[str]:
    request = MetadataRequest(list(names))
    try:
        answer = await admin._send_request(request, node_id)  # noqa: SLF001 - the public method asks any broker
    except KafkaError:
        return set(names)
    return {topic["topic"] for topic in answer.to_object()["topics"] if not topic["error_code"]}


async def check_topics(
    admin: AIOKafkaAdminClient, topics: Topics, needs: Needs | None = None, *, deadline_seconds: float = 10.0
) -> int:
    """
    Check the topics, and return the partition count that event and dispatch topics have in common.

    Raises:
        MissingRights: A right that *needs* names is missing. Describing each topic is always needed.
        UnfitTopics: A topic is missing, partition counts differ, or timestamps are not the broker's.
        KafkaError, OSError, TimeoutError: No broker answers.
    """
    needs = needs or Needs()
    described = await describe_topics(admin, topics.all, deadline_seconds=deadline_seconds)
    if lacking := missing_of_topics(described, needs) + await missing_of_group(admin, needs):
        raise MissingRights(lacking)
    missing = [name for name in topics.all if described[name].missing]
    if missing:
        raise UnfitTopics(f"Topics are missing: {', '.join(missing)}. Run: pause-notifications topics create")
    counts = {name: topic.partitions for name, topic in described.items()}
    paired = (*topics.events, topics.dispatches, topics.feedback)
    alike = (*paired, topics.suppressions)
    if len({counts[name] for name in alike}) > 1:
        uneven = ", ".join(f"{name} has {counts[name]}" for name in alike)
        raise UnfitTopics(
            f"Event, dispatch, feedback and suppressions topics need the same number of partitions, but {uneven}. "
            "Partitions are never added in place: create new topics in another namespace "
            "(PAUSE_NOTIFICATIONS_NAMESPACE) with: pause-notifications topics create --partitions N"
        )
    if counts[topics.dead_letters] < counts[topics.dispatches]:
        raise UnfitTopics(
            f"{topics.dead_letters} has {counts[topics.dead_letters]} partitions and needs at least "
            f"{counts[topics.dispatches]}, since a dead letter keeps its record's partition number. Add them with: "
            "kafka-topics.sh --alter --topic NAME --partitions N"
        )
    await _check_timestamps(admin, paired, deadline_seconds)
    return counts[topics.dispatches]


async def _check_timestamps(admin: AIOKafkaAdminClient, names: Sequence[str], deadline_seconds: float) -> None:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, {"message.timestamp.type": ""}) for name in names]
    wrong = []
    async with asyncio.timeout(deadline_seconds):
        responses = await admin.describe_configs(resources)
    for response in responses:
        for code, message, _type, name, entries in response.resources:
            if code:
                raise for_code(code)(message) if issubclass(for_code(code), KafkaError) else KafkaError(message)
            if any(entry[0] == "message.timestamp.type" and entry[1] != "LogAppendTime" for entry in entries):
                wrong.append(name)
    if wrong:
        raise UnfitTopics(
            f"{', '.join(wrong)}: message.timestamp.type must be LogAppendTime, since expiry and memory count from the "
            "broker's clock. Set it with: kafka-configs.sh --alter --entity-type topics --entity-name NAME "
            "--add-config message.timestamp.type=LogAppendTime"
        )
