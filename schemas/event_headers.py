"""The headers of an event's record, as a JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas import headers as names
from schemas.events import ALL_EVENTS

INTERNAL = (
    "Internal: proves the headers that begin with pn_, which only the service writes. Producers write none of them "
    "and sign nothing; unproven headers do not count."
)
_ATTRIBUTE: Mapping[str, Any] = {"type": "string", "minLength": 1, "not": {"pattern": r"\x00"}}
_TIME = "When it happened (RFC 3339 with a zone). An unreadable time counts as none."

EVENT_HEADERS: Mapping[str, Any] = {
    "type": "object",
    "description": "Headers of binary mode; structured mode has only content-type. Values are UTF-8.",
    "properties": {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {**_ATTRIBUTE, "maxLength": 256, "description": "Unique within the source."},
        "ce_source": {**_ATTRIBUTE, "maxLength": 512, "description": "The producer, as a URI."},
        "ce_type": {"type": "string", "enum": [event.type for event in ALL_EVENTS]},
        "ce_time": {"type": "string", "format": "date-time", "description": _TIME},
        "content-type": {"type": "string", "examples": ["application/json", "application/cloudevents+json"]},
        names.TRACE_PARENT: {"type": "string", "description": "W3C trace context; it appears in logs and traces."},
        names.SIGNATURE: {"type": "string", "description": INTERNAL},
    },
}
