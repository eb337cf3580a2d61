"""Kafka's Metadata request in the version that has topic ids and our rights: aiokafka 0.14 stops at version 5.

Version 12 came with Kafka 3.1. Of an older broker version 5 asks, which has neither ids nor rights.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO

from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v5
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

NO_ID = bytes(16)
"""The topic id of a topic whose id the broker does not tell."""


class _Id(AbstractType[bytes]):  # type: ignore[misc]  # aiokafka ships no types
    """A UUID on the wire."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(len(NO_ID))


class MetadataResponse(Response):  # type: ignore[misc]  # likewise
    """The answer, version 12; its fields are named as in version 5, so that both are read alike."""

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
                ("topic", CompactString("utf-8")),
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


class MetadataRequest_v12(RequestStruct):  # type: ignore[misc]  # noqa: N801 - as aiokafka names its versions
    """The request, version 12."""

    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Id), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicsRequest(Request[MetadataRequest_v5 | MetadataRequest_v12]):  # type: ignore[misc]  # likewise
    """Ask for topics as they are: no broker creates one because of it."""

    API_KEY = 3

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = list(topics)

    def build(
        self, request_struct_class: type[MetadataRequest_v5 | MetadataRequest_v12]
    ) -> MetadataRequest_v5 | MetadataRequest_v12:
        """Return the request in the newest version that the broker knows."""
        if request_struct_class is MetadataRequest_v5:
            return request_struct_class(self._topics, False)  # noqa: FBT003 - the protocol's own order
        return request_struct_class([(NO_ID, topic, {}) for topic in self._topics], False, True, {})  # noqa: FBT003 - likewise
