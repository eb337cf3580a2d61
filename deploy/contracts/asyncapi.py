"""Describe the topics as an AsyncAPI 3.0 document, made from the table of events and the models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from deploy.contracts.models import published_models
from runtime.kafka.topics import CONFIGS as TOPIC_CONFIGS
from runtime.kafka.topics import DEFAULT_PARTITIONS
from schemas import headers as names
from schemas.cloudevents import NotAnEventReason
from schemas.contacts import CONTACTS_TOPIC, Contact
from schemas.dead_letters import DEAD_LETTERS_TOPIC, DeadLetterReason
from schemas.dispatch import DISPATCHES_TOPIC
from schemas.events import CERTIFICATIONS_TOPIC, EVENTS, PAUSES_TOPIC, EventType

_KAFKA_BINDING = "0.5.0"

_DESCRIPTION = """\
Producers publish CloudEvents 1.0 to the two event topics, in binary or in structured mode. In binary mode attributes
are ce_ headers, and the value is the data. In structured mode the content-type is application/cloudevents+json,
and the value is one JSON object of attributes and data.

- The key is the mentor's id, and the partition is murmur2 of it. This is the default of Java's client and of aiokafka;
  with librdkafka set partitioner=murmur2_random. A misplaced record is moved, and may lose its order.
- source and id identify an event: publishing it twice leads to one e-mail.
- id, source, type and specversion are required. If time is missing or unreadable, the broker's append time counts.
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
            "messages": {**{e.type: _event_message(e) for e in EVENTS}, **_other_messages()},
            "messageTraits": {"cloudEvent": {"headers": dict(_EVENT_HEADERS)}},
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
    "deadLetters": (
        DEAD_LETTERS_TOPIC,
        "Records that need a person: the original, with its reason and its origin.",
    ),
}
_OTHERS = {CONTACTS_TOPIC: "contact", DISPATCHES_TOPIC: "dispatch", DEAD_LETTERS_TOPIC: "deadLetter"}


def _messages_of(topic: str) -> list[str]:
    return [event.type for event in EVENTS if event.topic == topic] or [_OTHERS[topic]]


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
        "partitions": DEFAULT_PARTITIONS,
        "topicConfiguration": supported,
        "bindingVersion": _KAFKA_BINDING,
    }


def _operations() -> dict[str, Any]:
    """Return what the service does with each topic: it receives events and contacts, and sends the others."""
    actions = {"pauses": "receive", "certifications": "receive", "contacts": "receive"}
    return {
        f"{actions.get(channel, 'send')}{channel[0].upper()}{channel[1:]}": {
            "action": actions.get(channel, "send"),
            "channel": {"$ref": f"#/channels/{channel}"},
            "summary": description,
        }
        for channel, (_, description) in _CHANNELS.items()
    }


_INTERNAL = (
    "Internal: proves the headers that begin with pn_, which only the service writes. Producers write none of them "
    "and sign nothing; unproven headers do not count."
)
_ATTRIBUTE: Mapping[str, Any] = {"type": "string", "minLength": 1, "not": {"pattern": r"\x00"}}
_TIME = "When it happened (RFC 3339 with a zone). An unreadable time counts as none."

_EVENT_HEADERS: Mapping[str, Any] = {
    "type": "object",
    "description": "Headers of binary mode; structured mode has only content-type. Values are UTF-8.",
    "properties": {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {**_ATTRIBUTE, "maxLength": 256, "description": "Unique within the source."},
        "ce_source": {**_ATTRIBUTE, "maxLength": 512, "description": "The producer, as a URI."},
        "ce_type": {"type": "string", "enum": [event.type for event in EVENTS]},
        "ce_time": {"type": "string", "format": "date-time", "description": _TIME},
        "content-type": {"type": "string", "examples": ["application/json", "application/cloudevents+json"]},
        names.TRACE_PARENT: {"type": "string", "description": "W3C trace context; it appears in the logs."},
        names.SIGNATURE: {"type": "string", "description": _INTERNAL},
    },
}


def _event_message(event: EventType) -> dict[str, Any]:
    return {
        "name": event.type,
        "title": event.summary,
        "summary": "Notified: " + ", ".join(role.value for role in event.roles) + ".",
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": _payload(event.type),
        "bindings": _keyed("The mentor's id.", "mentor-042"),
        "examples": [{"name": event.name, "headers": _example_headers(event), "payload": event.example}],
    }


def _example_headers(event: EventType) -> dict[str, str]:
    return {
        "ce_specversion": "1.0",
        "ce_id": "7d1cf1f0-1f55-4c6e-9d0a-2f6f0f4c8b11",
        "ce_source": "/mentoring/pauses",
        "ce_type": event.type,
        "ce_time": "2026-03-26T08:29:59Z",
        "content-type": "application/json",
    }


_FINAL = "Present only if every recipient is final: wait for this record. Its value is 1."


def _other_messages() -> dict[str, Any]:
    return {
        "contact": {
            "name": "contact",
            "title": "A person who may be notified",
            "contentType": "application/json",
            "payload": _payload("contact"),
            "bindings": _keyed("The contact's id.", "mentor-042"),
            "examples": [{"name": "mentor", "payload": Contact.model_json_schema()["examples"][0]}],
        },
        "dispatch": {
            "name": "dispatch",
            "title": "Everything that follows from one event, and its current state",
            "contentType": "application/json",
            "headers": {
                "type": "object",
                "properties": {names.FINAL: {"type": "string", "description": _FINAL}},
            },
            "payload": _payload("dispatch"),
            "bindings": _keyed("The dispatch's id.", "4c6a3bf0e1d2c3b4a5968778695a4b3c"),
        },
        "deadLetter": {
            "name": "deadLetter",
            "title": "A record that needs a person",
            "description": "Key, value and headers are the original's; the value is truncated at 256 KiB.",
            "contentType": "application/octet-stream",
            "headers": _dead_letter_headers(),
            "payload": {"description": "The original value, of any kind."},
        },
    }


def _dead_letter_headers() -> dict[str, Any]:
    reasons = [reason.value for kind in (DeadLetterReason, NotAnEventReason) for reason in kind]
    text = {"type": "string"}
    return {
        "type": "object",
        "required": [names.REASON, names.ORIGIN, names.ORIGIN_APPENDED_AT],
        "properties": {
            names.REASON: {"anyOf": [{"enum": reasons}, text], "description": "A stable code; more may be added."},
            names.ORIGIN: {**text, "description": "topic-partition-offset of the record."},
            names.ORIGIN_APPENDED_AT: {**text, "format": "date-time"},
            names.LAST_OFFSET: {**text, "description": "Of a dead letter for a range of offsets: the last."},
            names.RECORDS: {
                **text,
                "description": "Of a dead letter for a range: its number of records.",
            },
            names.DETAIL: {**text, "description": "The fields or offsets concerned; never a value of the event."},
            names.DISPATCH: {**text, "description": "The dispatch at that time as JSON, if there was one."},
            names.SIGNATURE: {**text, "description": "Internal: proves that a replica wrote this record."},
            names.ORIGIN_SIGNATURE: {**text, "description": "Internal: the record's own signature, if it had one."},
            names.VALUE_LENGTH: {**text, "description": "Of a truncated value: its full length in bytes."},
            names.VALUE_SHA256: {**text, "description": "Of a truncated value: SHA-256 (hex) of the full value."},
        },
    }


def _keyed(description: str, example: str) -> dict[str, Any]:
    key = {"type": "string", "description": description, "examples": [example]}
    return {"kafka": {"key": key, "bindingVersion": _KAFKA_BINDING}}


def _payload(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the schema of every model, and of the models that it contains."""
    for name, model in published_models().items():
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        yield from schema.pop("$defs", {}).items()
        yield name, schema
