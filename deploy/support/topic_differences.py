"""How existing topics differ from those that `topics create` creates, and how to fix it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from runtime.kafka.descriptions import Described, describe_topics
from runtime.kafka.topics import Topics, partitions_of, topic_configs

_RESPONSE_SECONDS = 10.0
_AT_LEAST = frozenset({"retention.ms", "delete.retention.ms", "min.insync.replicas"})
_AT_MOST = frozenset({"max.compaction.lag.ms", "segment.ms"})
_UNLIMITED = "-1"


@dataclass(frozen=True)
class Difference:
    """One property of a topic that is not as `topics create` creates it."""

    topic: str
    text: str
    advice: str


async def differences(
    admin: AIOKafkaAdminClient, topics: Topics, *, partitions: int | None = None, replication_factor: int | None = None
) -> list[Difference]:
    """
    Return what differs; check partitions and copies only if they are given.

    Raises:
        KafkaError, OSError, TimeoutError: The broker does not answer.
    """
    described = await describe_topics(admin, topics.all, deadline_seconds=_RESPONSE_SECONDS)
    found: list[Difference] = []
    for name in topics.all:
        plain = topics.plain(name)
        wanted_partitions = None if partitions is None else partitions_of(plain, partitions)
        found += _count_differences(described[name], wanted_partitions, replication_factor)
        wanted = topic_configs(plain, min(described[name].replication_factor, 3))
        found += await _config_differences(admin, name, wanted)
    return found


def _count_differences(topic: Described, partitions: int | None, replication_factor: int | None) -> list[Difference]:
    found = []
    if partitions is not None and topic.partitions != partitions:
        advice = "partitions are never added to a topic: for another number, create topics in another namespace"
        found.append(Difference(topic.name, f"has {topic.partitions} partitions, not {partitions}", advice))
    if replication_factor is not None and topic.replication_factor != replication_factor:
        advice = "add copies with Kafka's own kafka-reassign-partitions.sh"
        text = f"has {topic.replication_factor} copies of each record, not {replication_factor}"
        found.append(Difference(topic.name, text, advice))
    return found


async def _config_differences(admin: AIOKafkaAdminClient, name: str, wanted: Mapping[str, str]) -> list[Difference]:
    async with asyncio.timeout(_RESPONSE_SECONDS):
        (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name, dict(wanted))])
    ((code, _message, _type, _name, entries),) = response.resources
    if code:
        text = f"its configuration cannot be read: {for_code(code).__name__}"
        return [Difference(name, text, f"grant DescribeConfigs on topic {name}")]
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
    """Check whether a value is as good as the wanted one; to keep records longer or compact them sooner also is."""
    if key in _AT_LEAST:
        return found == _UNLIMITED or int(found) >= int(wanted)
    if key in _AT_MOST:
        return int(found) <= int(wanted)
    return found == wanted
