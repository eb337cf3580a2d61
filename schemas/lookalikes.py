"""Guess what an invalid record was meant to be, and tell its producer what to change, in the dead letter's detail."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.headers import Headers
from schemas.strict_json import NotJson, read_json

_MAGIC = b"\0"
_MAGIC_AND_ID_BYTES = 5
_OTHER_BINDINGS = ("ce-", "cloudevents_", "cloudevents:")
_SPRING = frozenset({"contenttype", "spring_json_header_types", "__typeid__"})
_IN_QUOTES = re.compile(rb'\s*".*"\s*', re.DOTALL)
_CHANGE_EVENT = frozenset({"before", "after", "op"})
_CONNECT_ENVELOPE = frozenset({"schema", "payload"})


@dataclass(frozen=True)
class _Record:
    """An invalid record, as far as it can be read."""

    headers: Mapping[str, bytes]
    """Values by header name in lower case."""
    value: bytes
    parsed: Any
    """The parsed value; None if it is not JSON."""

    @property
    def is_cloud_event(self) -> bool:
        """Whether its headers declare an event of this binding, in either mode."""
        structured = self.headers.get("content-type", b"").strip().lower().startswith(b"application/cloudevents")
        return structured or any(name.startswith("ce_") for name in self.headers)


def looks_like(headers: Headers, value: bytes) -> str:
    """Return what the record looks like and what to change, or an empty text. Nothing of the record is repeated."""
    try:
        parsed = read_json(value)
    except NotJson:
        parsed = None
    record = _Record({name.lower(): content or b"" for name, content in headers}, value, parsed)
    return next((advice for matches, advice in _ADVICE.items() if matches(record)), "")


def _from_a_schema_registry(record: _Record) -> bool:
    return record.value.startswith(_MAGIC) and len(record.value) >= _MAGIC_AND_ID_BYTES


def _of_another_binding(record: _Record) -> bool:
    return not record.is_cloud_event and any(name.startswith(_OTHER_BINDINGS) for name in record.headers)


def _headers_in_quotes(record: _Record) -> bool:
    ours = (name for name in record.headers if name.startswith("ce_") or name == "content-type")
    return any(_IN_QUOTES.fullmatch(record.headers[name]) for name in ours)


def _from_spring(record: _Record) -> bool:
    return not record.is_cloud_event and not _SPRING.isdisjoint(record.headers)


def _structured(record: _Record) -> bool:
    return not record.is_cloud_event and isinstance(record.parsed, dict) and "specversion" in record.parsed


def _from_connect(record: _Record) -> bool:
    return isinstance(record.parsed, dict) and record.parsed.keys() == _CONNECT_ENVELOPE


def _change_event(record: _Record) -> bool:
    return isinstance(record.parsed, dict) and record.parsed.keys() >= _CHANGE_EVENT


def _from_an_outbox(record: _Record) -> bool:
    return not record.is_cloud_event and "id" in record.headers


def _json_in_a_string(record: _Record) -> bool:
    data = record.parsed.get("data") if _structured_mode(record) else record.parsed
    return isinstance(data, str) and data.lstrip().startswith("{")


def _structured_mode(record: _Record) -> bool:
    return isinstance(record.parsed, dict) and "specversion" in record.parsed


_ADVICE: Mapping[Callable[[_Record], bool], str] = {
    _from_a_schema_registry: (
        "the value looks like a schema registry's (a zero byte and a schema id in front): "
        "use a serializer of plain JSON, strings or bytes"
    ),
    _of_another_binding: (
        "the headers look like CloudEvents over HTTP or AMQP: over Kafka their names begin with ce_ (ce_id, not ce-id)"
    ),
    _headers_in_quotes: (
        "header values stand in double quotes, as Spring's header mapper writes them: "
        "write attributes as strings or bytes, not as UUID, URI or Instant, and no strings as JSON"
    ),
    _structured: (
        "the value looks like an event in structured mode: "
        "write the header content-type with application/cloudevents+json"
    ),
    _from_spring: (
        "the headers look like Spring's (contentType, __TypeId__): write the attributes as headers ce_specversion, "
        "ce_id, ce_source and ce_type, and content-type with application/json"
    ),
    _from_connect: (
        "the value looks like Kafka Connect's envelope (schema, payload): "
        "set value.converter.schemas.enable=false for the connector"
    ),
    _change_event: (
        "the value looks like a table's change event (before, after, op): publish events of an outbox table instead"
    ),
    _json_in_a_string: (
        "the data is a string that holds JSON: write the object itself (Debezium: table.expand.json.payload=true)"
    ),
    _from_an_outbox: (
        "the headers look like an outbox router's (id, eventType): have it write headers ce_specversion, ce_id, "
        "ce_source and ce_type, all from columns (Debezium: table.fields.additional.placement)"
    ),
}
"""Advice by test of a record; the first that matches counts."""
