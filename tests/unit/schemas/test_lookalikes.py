"""The detail of a dead letter tells what the invalid record looks like."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from schemas.cloudevents import NotAnEvent, NotAnEventReason, decode
from schemas.events import EVENTS_BY_NAME
from schemas.headers import Headers

LIFTED = EVENTS_BY_NAME["pause-lifted"].type
DATA = b'{"mentor_id":"secret"}'
ENVELOPE = {"specversion": "1.0", "id": "secret", "source": "/secret", "type": LIFTED, "data": json.loads(DATA)}
STRUCTURED = json.dumps(ENVELOPE).encode()
REGISTRY = b"\0\0\0\0\x07" + DATA
ATTRIBUTES: Headers = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"1"),
    ("ce_source", b"/tests"),
    ("ce_type", LIFTED.encode()),
]
QUOTED: Headers = [(name, b'"' + (value or b"") + b'"') for name, value in ATTRIBUTES]
OUTBOX: Headers = [("id", b"5f0c"), ("eventType", LIFTED.encode())]
R = NotAnEventReason

LOOKALIKES: Mapping[str, tuple[Headers, bytes, NotAnEventReason, str]] = {
    "structured without a content type": ([], STRUCTURED, R.UNSUPPORTED_CONTENT_TYPE, "structured mode: write"),
    "structured as mere JSON": (
        [("content-type", b"application/json")],
        STRUCTURED,
        R.UNSUPPORTED_CONTENT_TYPE,
        "application/cloudevents+json",
    ),
    "headers as over HTTP": (
        [(name.replace("_", "-"), value) for name, value in ATTRIBUTES],
        DATA,
        R.MISSING_ATTRIBUTE,
        "their names begin with ce_",
    ),
    "headers as over AMQP": (
        [(name.replace("ce_", "cloudEvents_"), value) for name, value in ATTRIBUTES],
        DATA,
        R.MISSING_ATTRIBUTE,
        "HTTP or AMQP",
    ),
    "a schema registry's JSON": (ATTRIBUTES, REGISTRY, R.NOT_JSON, "a schema registry's"),
    "a schema registry's Avro": ([], b"\0\0\0\0\x07\x02", R.NOT_JSON, "use a serializer of plain JSON"),
    "a schema registry's, with a type": (
        [("content-type", b"application/avro")],
        REGISTRY,
        R.UNSUPPORTED_CONTENT_TYPE,
        "a schema registry's",
    ),
    "an outbox router's headers": (OUTBOX, DATA, R.MISSING_ATTRIBUTE, "an outbox router's (id, eventType)"),
    "an outbox router's text": (OUTBOX, json.dumps(DATA.decode()).encode(), R.INVALID_DATA, "expand.json.payload"),
    "a change event": ([], b'{"before":null,"after":{"id":"secret"},"op":"c"}', R.MISSING_ATTRIBUTE, "outbox table"),
    "Connect's envelope": (
        ATTRIBUTES,
        b'{"schema":{"type":"string"},"payload":"secret"}',
        R.INVALID_DATA,
        "schemas.enable=false",
    ),
    "Spring's content type": ([("contentType", b"application/json")], DATA, R.MISSING_ATTRIBUTE, "look like Spring's"),
    "Spring's type": ([("__TypeId__", b"com.example.Secret")], DATA, R.MISSING_ATTRIBUTE, "look like Spring's"),
    "Spring's quotes": (QUOTED, DATA, R.INVALID_ATTRIBUTE, "in double quotes"),
    "Spring's quoted content type": (
        [*ATTRIBUTES, ("content-type", b'"application/json"')],
        DATA,
        R.UNSUPPORTED_CONTENT_TYPE,
        "in double quotes",
    ),
    "data as a string": (
        [("content-type", b"application/cloudevents+json")],
        json.dumps({**ENVELOPE, "data": DATA.decode()}).encode(),
        R.INVALID_DATA,
        "write the object itself",
    ),
}


def _refused(headers: Headers, value: bytes) -> NotAnEvent:
    with pytest.raises(NotAnEvent) as caught:
        decode(headers, value)
    return caught.value


@pytest.mark.parametrize(("headers", "value", "reason", "advice"), LOOKALIKES.values(), ids=LOOKALIKES)
def test_the_detail_tells_what_the_record_looks_like(
    headers: Headers, value: bytes, reason: NotAnEventReason, advice: str
) -> None:
    """It also tells what to change, has no value of the record, and is short enough."""
    refused = _refused(headers, value)

    assert reason == refused.reason
    assert advice in refused.detail
    assert "secret" not in refused.detail.lower()
    assert 512 > len(refused.detail)


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        (ATTRIBUTES, b"{}"),
        (ATTRIBUTES[1:], DATA),
        ([], DATA),
        ([("content-type", b"application/cloudevents+json")], json.dumps({**ENVELOPE, "data": None}).encode()),
        (
            [("content-type", b"application/cloudevents+json"), ("id", b"5f0c")],
            json.dumps({**ENVELOPE, "id": ""}).encode(),
        ),
        (ATTRIBUTES, b"\0"),
        ([*ATTRIBUTES, ("contentType", b"application/json")], b"["),
    ],
)
def test_there_is_no_advice_if_the_record_looks_like_nothing_known(headers: Headers, value: bytes) -> None:
    """The detail then has only the record's own fault."""
    assert "look" not in _refused(headers, value).detail
