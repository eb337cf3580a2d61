"""Describe topics and the group as the brokers see them, with our rights on them (Kafka 3.1 and newer)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code
from aiokafka.protocol.admin import DescribeGroupsRequest_v0, DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.types import Array, Boolean, Schema, String

from runtime.kafka.metadata import TopicsRequest

_NO_ERROR = 0
_UNKNOWN_TOPIC = 3
_TOPIC_FORBIDDEN = 29
_GROUP_FORBIDDEN = 30
_NOT_SAID = -(2**31)
_GROUP_COORDINATOR = 0
_ANSWER_SECONDS = 10.0


class Right(IntEnum):
    """An operation that an ACL allows, by its code in Kafka's protocol."""

    READ = 3
    WRITE = 4
    CREATE = 5
    DESCRIBE = 8
    DESCRIBE_CONFIGS = 10

    def __str__(self) -> str:
        """Return the name in Kafka's tools and documentation."""
        return self.name.title().replace("_", "")


class _GroupRequestWithRights(RequestStruct):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 15
    API_VERSION = 3
    RESPONSE_TYPE = DescribeGroupsResponse_v3  # aiokafka's own request of this version reads the answer of the last
    SCHEMA = Schema(("groups", Array(String())), ("include_authorized_operations", Boolean))


class _GroupRequest(Request[DescribeGroupsRequest_v0 | _GroupRequestWithRights]):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(
        self, request_struct_class: type[DescribeGroupsRequest_v0 | _GroupRequestWithRights]
    ) -> DescribeGroupsRequest_v0 | _GroupRequestWithRights:
        if request_struct_class is DescribeGroupsRequest_v0:
            return request_struct_class([self._group])
        return request_struct_class([self._group], True)  # noqa: FBT003 - the protocol's own order


@dataclass(frozen=True)
class Described:
    """A topic as the brokers describe it."""

    name: str
    partitions: int
    replication_factor: int
    missing: bool
    """Whether the topic does not exist."""
    forbidden: bool
    """Whether we have no right to know if the topic exists."""
    rights: frozenset[Right] | None
    """Our rights, or None if the broker does not tell them. On a forbidden topic, DescribeConfigs at most."""


async def describe_topics(
    admin: AIOKafkaAdminClient, names: Iterable[str], *, deadline_seconds: float = _ANSWER_SECONDS
) -> dict[str, Described]:
    """Return the topics by name, missing ones included; raise KafkaError, OSError or TimeoutError."""
    async with asyncio.timeout(deadline_seconds):
        asked = list(names)
        answer = await admin._send_request(TopicsRequest(asked))  # noqa: SLF001 - the public method leaves out rights
        found = {topic["topic"]: _described(topic) for topic in answer.to_object()["topics"]}
        readable = await _configs_allowed(admin, [name for name, topic in found.items() if topic.forbidden])
    return {
        name: replace(found[name], rights=frozenset({Right.DESCRIBE_CONFIGS})) if name in readable else found[name]
        for name in asked
    }


async def _configs_allowed(admin: AIOKafkaAdminClient, names: Sequence[str]) -> set[str]:
    """Return the topics among *names* whose configuration we may read, although we may not describe them."""
    if not names:
        return set()
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, {"cleanup.policy": ""}) for name in names]
    answers = await admin.describe_configs(resources)
    return {name for one in answers for code, _, _, name, _ in one.resources if code != _TOPIC_FORBIDDEN}


async def group_rights(
    admin: AIOKafkaAdminClient, group: str, *, deadline_seconds: float = _ANSWER_SECONDS
) -> frozenset[Right] | None:
    """
    Return our rights on a group, or None if the brokers do not tell them.

    Raises:
        KafkaError, OSError, TimeoutError: The coordinator does not answer.
    """
    async with asyncio.timeout(deadline_seconds):
        found = await admin._send_request(FindCoordinatorRequest(group, _GROUP_COORDINATOR))  # noqa: SLF001 - see above
        if found.error_code == _GROUP_FORBIDDEN:
            return frozenset()
        _raise_for(found.error_code, group)
        answer = await admin._send_request(_GroupRequest(group), found.coordinator_id)  # noqa: SLF001 - likewise
    (described,) = answer.to_object()["groups"]
    if described["error_code"] == _GROUP_FORBIDDEN:
        return frozenset()
    _raise_for(described["error_code"], group)
    return _rights(described.get("authorized_operations", _NOT_SAID))


def _raise_for(code: int, what: str) -> None:
    if code != _NO_ERROR:
        raise for_code(code)(what)


def _described(topic: Mapping[str, Any]) -> Described:
    code, partitions = topic["error_code"], topic["partitions"]
    if code not in (_UNKNOWN_TOPIC, _TOPIC_FORBIDDEN):
        _raise_for(code, topic["topic"])
    return Described(
        name=topic["topic"],
        partitions=len(partitions),
        replication_factor=min((len(partition["replicas"]) for partition in partitions), default=0),
        missing=code == _UNKNOWN_TOPIC,
        forbidden=code == _TOPIC_FORBIDDEN,
        rights=frozenset() if code == _TOPIC_FORBIDDEN else _rights(topic.get("authorized_operations", _NOT_SAID)),
    )


def _rights(operations: int) -> frozenset[Right] | None:
    if operations == _NOT_SAID:
        return None
    return frozenset(right for right in Right if operations & 1 << right)
