"""Where topics that are there differ from those that `topics create` makes, and what puts it right."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from runtime.kafka.descriptions import Described, describe_topics
from runtime.kafka.topics import Topics, topic_configs

_ANSWER_SECONDS = 10.0
_AT_LEAST = frozenset({"retention.ms", "delete.retention.ms", "min.insync.replicas"})
_AT_MOST = frozenset({"max.compaction.lag.ms", "segment.ms"})
_WITHOUT_END = "-1"


@dataclass(frozen=True)
class Difference:
    """One thing about a topic that is not as `topics create` makes it."""

    topic: str
    says: str
    advice: str


async def differences(
    admin: AIOKafkaAdminClient, topics: Topics, *, partitions: int | None = None, replication_factor: int | None = None
) -> list[Difference]:
    """
    Return what differs; partitions and copies only if they are asked for.

    Raises:
        KafkaError, OSError, TimeoutError: The broker does not answer.
    """
    described = await describe_topics(admin, topics.all, deadline_seconds=_ANSWER_SECONDS)
    found: list[Difference] = []
    for name in topics.all:
        found += _of_counts(described[name], partitions, replication_factor)
        wanted = topic_configs(topics.plain(name), min(described[name].replication_factor, 3))
        found += await _of_configs(admin, name, wanted)
    return found


def _of_counts(topic: Described, partitions: int | None, replication_factor: int | None) -> list[Difference]:
    found = []
    if partitions is not None and topic.partitions != partitions:
        advice = "partitions are never added in place: for another number, make topics in another namespace"
        found.append(Difference(topic.name, f"has {topic.partitions} partitions, not {partitions}", advice))
    if replication_factor is not None and topic.replication_factor != replication_factor:
        advice = "copies are added with Kafka's own: kafka-reassign-partitions.sh"
        says = f"has {topic.replication_factor} copies of each record, not {replication_factor}"
        found.append(Difference(topic.name, says, advice))
    return found


async def _of_configs(admin: AIOKafkaAdminClient, name: str, wanted: Mapping[str, str]) -> list[Difference]:
    async with asyncio.timeout(_ANSWER_SECONDS):
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name, dict(wanted))])
    ((code, _message, _type, _name, entries),) = answer.resources
    if code:
        says = f"its configuration cannot be read: {for_code(code).__name__}"
        return [Difference(name, says, f"grant DescribeConfigs on topic {name}")]
    return [
        Difference(
            name,
            f"{key} is {value}, not {wanted[key]}",
            "kafka-configs.sh --bootstrap-server HOST:PORT --alter --entity-type topics "
            f"--entity-name {name} --add-config {key}={wanted[key]}",
        )
        for key, value, *_ in entries
        if key in wanted and not fits(key, value, wanted[key])
    ]


def fits(key: str, found: str, wanted: str) -> bool:
    """Check whether a configuration serves as well as the wanted one: kept for longer, or compacted sooner, does."""
    if key in _AT_LEAST:
        return found == _WITHOUT_END or int(found) >= int(wanted)
    if key in _AT_MOST:
        return int(found) <= int(wanted)
    return found == wanted
