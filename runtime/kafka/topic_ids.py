"""Asks the brokers for topic ids: a topic deleted and made anew keeps its name, but not its id.

aiokafka 0.14 knows Metadata up to version 5, which has no ids. Brokers have them since Kafka 2.8.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any

from aiokafka.errors import IncompatibleBrokerVersion, NodeNotReadyError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

OWN_CONNECTION = "topic-ids"
"""The client's connection for these requests: on its usual one they would wait behind a long poll."""

_ID_BYTES = 16
_NO_ID = bytes(_ID_BYTES)
_UNKNOWN_TOPIC = 3


class _Id(AbstractType[bytes]):  # type: ignore[misc]  # aiokafka ships no types
    """A UUID on the wire."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(_ID_BYTES)


class _MetadataResponse(Response):  # type: ignore[misc]  # likewise
    """Metadata, version 12."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Id),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequest(RequestStruct):  # type: ignore[misc]  # likewise
    """Metadata, version 12."""

    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Id), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicIdsRequest(Request[_MetadataRequest]):  # type: ignore[misc]  # likewise
    """Metadata of some topics in the one version that is used here."""

    API_KEY = 3

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[_MetadataRequest]) -> _MetadataRequest:
        return request_struct_class([(_NO_ID, topic, {}) for topic in self._topics], False, False, {})  # noqa: FBT003 - the wire's order


async def topic_ids(client: Any, topics: Iterable[str]) -> dict[str, str | None] | None:
    """
    Return the ids of topics in hexadecimal, `None` for a topic that the broker does not know.

    `None` as a whole means that the broker has no topic ids. Raises KafkaError or TimeoutError when none answers.
    """
    node = client.get_random_node()
    if node is None:
        raise NodeNotReadyError("no broker is known")
    try:
        answer = await client.send(node, _TopicIdsRequest(topics), group=OWN_CONNECTION)
    except (IncompatibleBrokerVersion, NotImplementedError):
        return None
    found: dict[str, str | None] = {}
    for code, name, topic_id, *_ in answer.topics:
        if code == _UNKNOWN_TOPIC:
            found[name] = None
        elif topic_id != _NO_ID:
            found[name] = topic_id.hex()
        elif code:
            raise for_code(code)(name)
    return found
