"""Convert a CloudEvent 1.0 to a Kafka record and back, in binary or structured mode (Kafka binding 1.0.2)."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from cloudevents.core.bindings.kafka import KafkaMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from pydantic import ValidationError

from schemas.events import EVENTS, EVENTS_BY_TYPE, MAX_EVENT_BYTES, Event, EventData, EventType, unknown_fields
from schemas.headers import Headers
from schemas.lookalikes import looks_like
from schemas.strict_json import NotJson, read_json
from schemas.times import parse_with_offset
from schemas.violations import violations

_STRUCTURED = "application/cloudevents"
_STRUCTURED_JSON = "application/cloudevents+json"
_JSON = re.compile(r"(application|text)/([a-z0-9.\-]+\+)?json", re.IGNORECASE)
_MAX_ID = 256
_MAX_SOURCE = 512
_REQUIRED = ("specversion", "id", "source", "type")


class NotAnEventReason(StrEnum):
    """Why a record is not a valid event: the reason of its dead letter."""

    NULL_VALUE = "null_value"
    TOO_LARGE = "too_large"
    DUPLICATE_HEADER = "duplicate_header"
    INVALID_HEADER = "invalid_header"
    MISSING_ATTRIBUTE = "missing_attribute"
    INVALID_ATTRIBUTE = "invalid_attribute"
    UNSUPPORTED_CONTENT_TYPE = "unsupported_content_type"
    UNKNOWN_TYPE = "unknown_type"
    NOT_JSON = "not_json"
    INVALID_DATA = "invalid_data"


_MISLEADING = frozenset(
    {
        NotAnEventReason.MISSING_ATTRIBUTE,
        NotAnEventReason.INVALID_ATTRIBUTE,
        NotAnEventReason.UNSUPPORTED_CONTENT_TYPE,
        NotAnEventReason.NOT_JSON,
        NotAnEventReason.INVALID_DATA,
    }
)
"""Reasons that do not help a producer whose record was never meant to be a CloudEvent of this binding."""


class NotAnEvent(ValueError):
    """
    A record is not a valid event of the contract.

    *detail* names fields, never values. *unknown_fields* are a stranger's texts: neither log nor store them.
    """

    def __init__(self, reason: NotAnEventReason, detail: str, *, unknown_fields: tuple[str, ...] = ()) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.unknown_fields = unknown_fields


@dataclass(frozen=True)
class EventRecord:
    """An event as a record of its topic; the caller chooses the partition."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def encode_binary(event: Event) -> EventRecord:
    """Write an event in binary mode: attributes are `ce_` headers, and the value is the data."""
    return _record(event, to_binary_event(_cloud_event(event)))


def encode_structured(event: Event) -> EventRecord:
    """Write an event in structured mode: attributes and data as one JSON value."""
    return _record(event, to_structured_event(_cloud_event(event)))


def decode(headers: Headers, value: bytes | None) -> Event:
    """
    Read an event from a record in either mode.

    Raises:
        NotAnEvent: if the record is not a valid event. The error has the reason.
    """
    if value is None:
        raise NotAnEvent(NotAnEventReason.NULL_VALUE, "the value is null")
    if len(value) > MAX_EVENT_BYTES:
        raise NotAnEvent(NotAnEventReason.TOO_LARGE, f"{len(value)} bytes, at most {MAX_EVENT_BYTES} are read")
    if sum(len(name) + len(text or b"") for name, text in headers) > MAX_EVENT_BYTES:
        # A dead letter repeats the headers. Larger ones would not fit into it, and would block their lane for ever.
        raise NotAnEvent(NotAnEventReason.TOO_LARGE, f"headers: at most {MAX_EVENT_BYTES} bytes are read")
    try:
        return _decode(headers, value)
    except NotAnEvent as error:
        advice = looks_like(headers, value) if error.reason in _MISLEADING else ""
        if not advice:
            raise
        raise NotAnEvent(error.reason, f"{error.detail}; {advice}") from None


def _decode(headers: Headers, value: bytes) -> Event:
    named = _attribute_headers(headers)
    content_type = named.pop("content-type", "").split(";")[0].strip().lower()
    if content_type.startswith(_STRUCTURED):
        return _decode_structured(content_type, value)
    if content_type and not _JSON.fullmatch(content_type):
        raise NotAnEvent(NotAnEventReason.UNSUPPORTED_CONTENT_TYPE, "content-type: must be JSON")
    data = _json_object(value, "data")
    if not named and "specversion" in data:
        raise NotAnEvent(NotAnEventReason.UNSUPPORTED_CONTENT_TYPE, f"content-type: must be {_STRUCTURED_JSON}")
    return _event(named, data)


def _attribute_headers(headers: Headers) -> dict[str, str]:
    """Return attribute names and values. Header names are read without regard to case, as the binding requires."""
    ours: dict[str, bytes | None] = {}
    twice = set()
    for any_case, value in headers:
        name = any_case.lower()
        if name.startswith("ce_") or name == "content-type":
            if name in ours:
                twice.add(name)
            ours[name] = value
    if twice:
        raise NotAnEvent(NotAnEventReason.DUPLICATE_HEADER, f"{', '.join(sorted(twice))}: appears twice")
    named = {}
    for name, value in ours.items():
        try:
            named[name.removeprefix("ce_")] = (value or b"").decode()
        except UnicodeDecodeError:
            raise NotAnEvent(NotAnEventReason.INVALID_HEADER, f"{name}: is not UTF-8") from None
    return named


def _decode_structured(content_type: str, value: bytes) -> Event:
    if content_type != _STRUCTURED_JSON:
        raise NotAnEvent(NotAnEventReason.UNSUPPORTED_CONTENT_TYPE, f"content-type: must be {_STRUCTURED_JSON}")
    members = {name: member for name, member in _json_object(value, "value").items() if member is not None}
    data, encoded = members.pop("data", None), members.pop("data_base64", None)
    if data is not None and encoded is not None:
        raise NotAnEvent(NotAnEventReason.INVALID_DATA, "data, data_base64: must not both be present")
    if encoded is not None:
        return _event(members, _json_object(_base64(encoded), "data_base64"))
    if not isinstance(data, dict):
        raise NotAnEvent(NotAnEventReason.INVALID_DATA, "data: must be a JSON object")
    return _event(members, data)


def _base64(text: Any) -> bytes:
    """Return the bytes of `data_base64`, which SDKs write in structured mode when their data is bytes."""
    try:
        return base64.b64decode(text if isinstance(text, str) else "?", validate=True)
    except ValueError:
        raise NotAnEvent(NotAnEventReason.INVALID_DATA, "data_base64: must be Base64 (RFC 4648)") from None


def _json_object(value: bytes, where: str) -> dict[str, Any]:
    try:
        parsed = read_json(value)
    except NotJson as error:
        raise NotAnEvent(NotAnEventReason.NOT_JSON, f"{where}: is not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise NotAnEvent(NotAnEventReason.INVALID_DATA, f"{where}: must be a JSON object")
    return parsed


def _event(attributes: dict[str, Any], data: dict[str, Any]) -> Event:
    missing = [name for name in _REQUIRED if not attributes.get(name)]
    if missing:
        raise NotAnEvent(NotAnEventReason.MISSING_ATTRIBUTE, f"{', '.join(missing)}: missing or empty")
    _check_attribute(attributes, "id", _MAX_ID)
    _check_attribute(attributes, "source", _MAX_SOURCE)
    _check_attribute(attributes, "type", _MAX_ID)
    if attributes["specversion"] != "1.0":
        raise NotAnEvent(NotAnEventReason.INVALID_ATTRIBUTE, "specversion: must be 1.0")
    kind = EVENTS_BY_TYPE.get(attributes["type"])
    if kind is None:
        raise NotAnEvent(
            NotAnEventReason.UNKNOWN_TYPE, "type: must be one of " + ", ".join(kind.type for kind in EVENTS)
        )
    stated = attributes.get("time") or None
    time = _time(stated)
    return Event(
        kind=kind,
        id=attributes["id"],
        source=attributes["source"],
        data=_data(kind, data),
        time=time,
        unknown_fields=unknown_fields(kind.model, data),
        time_unreadable=stated is not None and time is None,
    )


def _check_attribute(attributes: dict[str, Any], name: str, at_most: int) -> None:
    text = attributes[name]
    if not isinstance(text, str) or len(text) > at_most or "\0" in text:
        raise NotAnEvent(NotAnEventReason.INVALID_ATTRIBUTE, f"{name}: must be a string of 1 to {at_most} characters")


def _time(stated: Any) -> datetime | None:
    """Return the producer's time, or None if it is unreadable: the event is valid without it."""
    try:
        return parse_with_offset(stated) if isinstance(stated, str) else None
    except ValueError:
        return None


def _data(kind: EventType, data: dict[str, Any]) -> EventData:
    try:
        return kind.model.model_validate(data)
    except ValidationError as error:
        rules = [f"{'.'.join(map(str, found.place)) or 'data'}: {found.rule}" for found in violations(error)]
        unknown = unknown_fields(kind.model, data)
        raise NotAnEvent(NotAnEventReason.INVALID_DATA, "; ".join(rules), unknown_fields=unknown) from None


def _cloud_event(event: Event) -> CloudEvent:
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.kind.type,
        "datacontenttype": "application/json",
    }
    if event.time is not None:
        attributes["time"] = event.time
    cloud_event = CloudEvent(attributes=attributes, data=event.data.model_dump(mode="json", exclude_unset=True))
    if event.time is None:
        # If the event has no time, the library adds its own clock's. The broker's append time must count then.
        attributes.pop("time", None)
    return cloud_event


def _record(event: Event, message: KafkaMessage) -> EventRecord:
    return EventRecord(
        topic=event.kind.topic,
        key=event.mentor_id.encode(),
        value=message.value,
        headers=list(message.headers.items()),
    )
