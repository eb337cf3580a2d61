"""Describe the topics as an AsyncAPI 3.0 document, made from the table of events and the models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from deploy.contracts.asyncapi_messages import KAFKA_BINDING, messages
from deploy.contracts.models import published_models
from runtime.kafka.topics import CONFIGS as TOPIC_CONFIGS
from runtime.kafka.topics import partitions_of
from schemas.contacts import CONTACTS_TOPIC
from schemas.controls import CONTROLS_TOPIC
from schemas.dead_letters import DEAD_LETTERS_TOPIC
from schemas.dispatch import DISPATCHES_TOPIC
from schemas.event_headers import EVENT_HEADERS
from schemas.events import ALL_EVENTS, CERTIFICATIONS_TOPIC, PAUSES_TOPIC
from schemas.feedback import FEEDBACK_TOPIC
from schemas.suppressions import SUPPRESSIONS_TOPIC

_DESCRIPTION = """\
Producers publish CloudEvents 1.0 to the two event topics, in binary or in structured mode. In binary mode attributes
are ce_ headers, and the value is the data. In structured mode the content-type is application/cloudevents+json,
and the value is one JSON object of attributes and data.

- The key is the mentor's id, and the partition is murmur2 of it. This is the default of Java's client and of aiokafka;
  with librdkafka set partitioner=murmur2_random. A misplaced record is moved, and may lose its order.
- source, id and the mentor identify an event: publishing it twice leads to one e-mail.
- mentor.notice.undelivered.v1 is published by the service itself. From anybody else it is a dead letter.
- id, source, type and specversion are required. If time is missing, unreadable or in the future, the broker's append
  time counts.
- In structured mode data_base64 may replace data: JSON in Base64.
- A value has at most 64 KiB. Unknown fields are ignored. An invalid record becomes a dead letter.
"""


def asyncapi() -> dict[str, Any]:
    """Return the complete document."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Pause Notifications", "version": _version(), "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "127.0.0.1:9092",
                "protocol": "kafka",
                "description": "The broker that `pause-notifications local` starts; elsewhere, your own brokers.",
            }
        },
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "messages": messages(),
            "messageTraits": {"cloudEvent": {"headers": dict(EVENT_HEADERS)}},
            "schemas": dict(_schemas()),
        },
    }


def _version() -> str:
    return version("pause-notifications")


_CHANNELS: Mapping[str, tuple[str, str]] = {
    "pauses": (PAUSES_TOPIC, "Pauses of mentors: activated, lifted."),
    "certifications": (CERTIFICATIONS_TOPIC, "Certifications of mentors: expired, about to expire."),
    "contacts": (
        CONTACTS_TOPIC,
        "People, their addresses and coordinators. Compacted; a null value forgets a person.",
    ),
    "dispatches": (
        DISPATCHES_TOPIC,
        "The outcome of each event, in its partition number. Records of one key are merged.",
    ),
    "feedback": (
        FEEDBACK_TOPIC,
        "What SES reports of an e-mail, in the partition number of its dispatch. Only signed records count.",
    ),
    "suppressions": (
        SUPPRESSIONS_TOPIC,
        "Addresses that get no e-mail, as digests. Compacted; a removal is an entry that has ended, or a signed null.",
    ),
    "controls": (
        CONTROLS_TOPIC,
        "What operators put in force for all replicas. Compacted, one partition. Only signed records count.",
    ),
    "deadLetters": (
        DEAD_LETTERS_TOPIC,
        "Records that need a person: the original, with its reason and its origin.",
    ),
}
_OTHERS = {
    CONTACTS_TOPIC: "contact",
    DISPATCHES_TOPIC: "dispatch",
    FEEDBACK_TOPIC: "feedback",
    SUPPRESSIONS_TOPIC: "suppression",
    CONTROLS_TOPIC: "control",
    DEAD_LETTERS_TOPIC: "deadLetter",
}
_ACTIONS: Mapping[str, tuple[str, ...]] = {
    "pauses": ("receive",),
    "certifications": ("receive",),
    "contacts": ("receive",),
    "feedback": ("receive", "send"),
    "controls": ("receive",),
}
"""What the service does with a topic, from its own view; it only sends to those that are not listed."""


def _messages_of(topic: str) -> list[str]:
    return [event.type for event in ALL_EVENTS if event.topic == topic] or [_OTHERS[topic]]


def _channels() -> dict[str, Any]:
    return {
        channel: {
            "address": topic,
            "description": description,
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _messages_of(topic)},
            "bindings": {"kafka": _topic_binding(topic)},
        }
        for channel, (topic, description) in _CHANNELS.items()
    }


def _topic_binding(topic: str) -> dict[str, Any]:
    """Return the topic settings that the binding has names for; it has none for the type of timestamp."""
    config = TOPIC_CONFIGS[topic]
    supported: dict[str, Any] = {}
    if "cleanup.policy" in config:
        supported["cleanup.policy"] = [config["cleanup.policy"]]
    if "retention.ms" in config:
        supported["retention.ms"] = int(config["retention.ms"])
    return {
        "topic": topic,
        "partitions": partitions_of(topic),
        "topicConfiguration": supported,
        "bindingVersion": KAFKA_BINDING,
    }


def _operations() -> dict[str, Any]:
    """Return what the service does with each topic."""
    return {
        f"{action}{channel[0].upper()}{channel[1:]}": {
            "action": action,
            "channel": {"$ref": f"#/channels/{channel}"},
            "summary": description,
        }
        for channel, (_, description) in _CHANNELS.items()
        for action in _ACTIONS.get(channel, ("send",))
    }


def _schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the schema of every model, and of the models that it contains."""
    for name, model in published_models().items():
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        yield from schema.pop("$defs", {}).items()
        yield name, schema
