"""The messages of the AsyncAPI document: the events, and what else is in the topics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas import headers as names
from schemas.cloudevents import NotAnEventReason
from schemas.contacts import Contact
from schemas.dead_letters import DeadLetterReason
from schemas.events import ALL_EVENTS, REPLICA_SOURCE, UNDELIVERED, EventType

KAFKA_BINDING = "0.5.0"

_DISPATCH_ID = "4c6a3bf0e1d2c3b4a5968778695a4b3c"


def messages() -> dict[str, Any]:
    """Return every message by its name."""
    return {**{event.type: _event_message(event) for event in ALL_EVENTS}, **_other_messages()}


def _event_message(event: EventType) -> dict[str, Any]:
    return {
        "name": event.type,
        "title": event.summary,
        "summary": "Notified: " + ", ".join(role.value for role in event.roles) + "." + _only_ours(event),
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": _payload(event.type),
        "bindings": _keyed("The mentor's id.", "mentor-042"),
        "examples": [{"name": event.name, "headers": _example_headers(event), "payload": event.example}],
    }


def _only_ours(event: EventType) -> str:
    return " Only the service itself publishes it; without its signature it becomes a dead letter." * (
        event is UNDELIVERED
    )


def _example_headers(event: EventType) -> dict[str, str]:
    ours = event is UNDELIVERED
    return {
        "ce_specversion": "1.0",
        "ce_id": f"undelivered-{_DISPATCH_ID}" if ours else "7d1cf1f0-1f55-4c6e-9d0a-2f6f0f4c8b11",
        "ce_source": REPLICA_SOURCE if ours else "/mentoring/pauses",
        "ce_type": event.type,
        "ce_time": "2026-03-26T08:29:59Z",
        "content-type": "application/json",
    }


_SIGNED = "Proves the record: a signature by one of the service's keys. Without it the record does not count."
_BOUNCE: Mapping[str, str] = {
    "dispatch_id": _DISPATCH_ID,
    "recipient": "mentor-042",
    "message_id": "0100019b-msg-00940",
    "kind": "bounce",
    "at": "2026-03-26T08:30:02Z",
    "type": "Permanent",
    "subtype": "NoEmail",
    "status": "5.1.1",
}
_SUPPRESSION: Mapping[str, str] = {
    "contact_id": "mentor-042",
    "address": "2e92878edc3288d1f3d6c9fd9d7de083",
    "reason": "bounced",
    "since": "2026-03-26T08:30:02Z",
    "dispatch_id": _DISPATCH_ID,
    "message_id": "0100019b-msg-00940",
    "detail": "Permanent/NoEmail",
}
_CONTROL: Mapping[str, str] = {
    "kind": "source_held",
    "by": "amara",
    "at": "2026-03-26T08:30:02Z",
    "reason": "publishes each pause a hundred times",
    "source": "/hr/absences",
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
            "bindings": _keyed("The dispatch's id.", _DISPATCH_ID),
        },
        "feedback": {
            "name": "feedback",
            "title": "One report of SES about one recipient of one e-mail",
            "description": "Others may publish it, too, if they have a signing key: see the producers' guide.",
            "contentType": "application/json",
            "headers": {
                "type": "object",
                "properties": {
                    names.TRACE_PARENT: {"type": "string", "description": "W3C trace context of the send."},
                    names.SIGNATURE: {"type": "string", "description": _SIGNED},
                },
            },
            "payload": _payload("feedback"),
            "bindings": _keyed("The dispatch's id.", _DISPATCH_ID),
            "examples": [{"name": "bounce", "payload": dict(_BOUNCE)}],
        },
        "suppression": {
            "name": "suppression",
            "title": "An address that gets no e-mail",
            "description": "Only replicas and the command publish it. A removal is an entry that has ended and says "
            "who removed it; a signed null removes an entry without a trace.",
            "contentType": "application/json",
            "headers": {"type": "object", "properties": {names.SIGNATURE: {"type": "string", "description": _SIGNED}}},
            "payload": _payload("suppression"),
            "bindings": _keyed("The list, a colon, and the contact's id.", "hard:mentor-042"),
            "examples": [{"name": "bounced", "payload": dict(_SUPPRESSION)}],
        },
        "control": {
            "name": "control",
            "title": "What an operator put in force for all replicas, or lifted",
            "description": "Only the command publishes it.",
            "contentType": "application/json",
            "headers": {"type": "object", "properties": {names.SIGNATURE: {"type": "string", "description": _SIGNED}}},
            "payload": _payload("control"),
            "bindings": _keyed(
                "What is controlled: the kind, for a source or a cancel a colon and its name.",
                "source_held:/hr/absences",
            ),
            "examples": [{"name": "held", "payload": dict(_CONTROL)}],
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
    return {"kafka": {"key": key, "bindingVersion": KAFKA_BINDING}}


def _payload(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}
