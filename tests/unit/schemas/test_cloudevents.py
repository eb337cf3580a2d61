"""The codec: events to records and back in both modes, and a reason for every invalid record."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import to_structured_event
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.cloudevents import EventRecord, NotAnEvent, NotAnEventReason, decode, encode_binary, encode_structured
from schemas.events import EVENTS, EVENTS_BY_NAME, MAX_EVENT_BYTES, Event, EventType
from schemas.headers import Headers
from schemas.times import parse_with_offset

LIFTED = EVENTS_BY_NAME["pause-lifted"]
HEADERS: Mapping[str, bytes] = {
    "ce_specversion": b"1.0",
    "ce_id": b"1",
    "ce_source": b"/tests",
    "ce_type": LIFTED.type.encode(),
    "content-type": b"application/json",
}
DATA = b'{"mentor_id":"mentor-042"}'
STRUCTURED: Headers = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
ENVELOPE: Mapping[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "/tests",
    "type": LIFTED.type,
    "data": {"mentor_id": "mentor-042"},
}

_TEXT = st.text(min_size=1, max_size=30, alphabet=st.characters(exclude_categories=["Cs", "Cc"])).filter(str.strip)
_TIMES = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis adds the zone


def binary(**changes: bytes | None) -> Headers:
    """Return the headers of an event in binary mode with *changes*; None omits one."""
    named = {**HEADERS, **{name if name == "content_type" else f"ce_{name}": value for name, value in changes.items()}}
    if "content_type" in named:
        named["content-type"] = named.pop("content_type")
    return [(name, value) for name, value in named.items() if value is not None]


def structured(**changes: Any) -> bytes:
    """Return an event in structured mode with *changes*; ... omits a field."""
    return json.dumps({name: value for name, value in {**ENVELOPE, **changes}.items() if value is not ...}).encode()


def encoded(data: bytes) -> bytes:
    """Return an event in structured mode whose data is bytes, as SDKs write it."""
    return structured(data=..., data_base64=base64.b64encode(data).decode())


def refused(headers: Headers, value: bytes | None) -> NotAnEvent:
    """Return the error of reading an invalid record."""
    with pytest.raises(NotAnEvent) as caught:
        decode(headers, value)
    return caught.value


class TestBothModes:
    """A written event is read back, in either mode."""

    @settings(deadline=None, max_examples=150)
    @given(
        encode=st.sampled_from([encode_binary, encode_structured]),
        kind=st.sampled_from(EVENTS),
        event_id=_TEXT,
        source=_TEXT,
        mentor=_TEXT,
        time=st.none() | _TIMES,
    )
    def test_a_written_event_is_read_back_unchanged(
        self,
        encode: Callable[[Event], EventRecord],
        kind: EventType,
        event_id: str,
        source: str,
        mentor: str,
        time: datetime | None,
    ) -> None:
        """Ids, sources and mentors may have any text; without a producer's time, the event has none."""
        data = kind.model.model_validate({**kind.example, "mentor_id": mentor})
        event = Event(kind=kind, id=event_id, source=source, data=data, time=time)

        record = encode(event)

        assert event == decode(record.headers, record.value)
        assert kind.topic == record.topic
        assert mentor.encode() == record.key

    def test_both_modes_are_one_event(self) -> None:
        """Identity and digest do not depend on the mode."""
        one, other = decode(binary(), DATA), decode(STRUCTURED, structured())

        assert one == other
        assert one.dispatch_id == other.dispatch_id
        assert one.digest == other.digest

    @pytest.mark.parametrize(
        "headers",
        [
            [(name.upper(), value) for name, value in HEADERS.items()],
            [(name.title(), value) for name, value in HEADERS.items()],
            binary(content_type=None),
            binary(content_type=b""),
            binary(content_type=b"Application/JSON;charset=utf-8"),
            binary(content_type=b"text/json"),
            binary(content_type=b"application/vnd.acme+json"),
            [*binary(), ("other", b"\xff"), ("other", None)],
            [*binary(), ("ce_extension", b"x"), ("ce_nothing", None)],
            binary(time=b""),
        ],
    )
    def test_what_the_specification_leaves_open_makes_no_difference(self, headers: Headers) -> None:
        """Case of names, content type and its parameters, extensions, other headers and an empty time do not count."""
        assert decode(binary(), DATA) == decode(headers, DATA)

    @pytest.mark.parametrize("nulled", [{}, {"data": None}])
    def test_bytes_are_read_as_data(self, nulled: Mapping[str, Any]) -> None:
        """An SDK whose data is bytes writes `data_base64` in structured mode; it is the same event."""
        encoded_data = base64.b64encode(DATA).decode()
        value = structured(**{"data": ..., "data_base64": encoded_data, **nulled})

        assert decode(binary(), DATA) == decode(STRUCTURED, value)

    @pytest.mark.parametrize(
        ("headers", "value"),
        [
            *[
                (binary(time=time), DATA)
                for time in (
                    b"2026-05-01T00:00:00",
                    b"2026-02-30T00:00:00Z",
                    b"0001-01-01T00:00:00Z",
                    b"Fri May 1 00:00:00 CEST 2026",
                    b"1777593600000",
                )
            ],
            (STRUCTURED, structured(time=1_777_593_600)),
        ],
    )
    def test_an_unreadable_time_is_left_out(self, headers: Headers, value: bytes) -> None:
        """The event is valid without its time, and notes that it was unreadable."""
        event = decode(headers, value)

        assert event.time is None
        assert event.time_unreadable
        assert decode(binary(), DATA).dispatch_id == event.dispatch_id

    @pytest.mark.parametrize("headers", [binary(), binary(time=b""), binary(time=b"2026-05-01T00:00:00Z")])
    def test_a_missing_time_is_not_unreadable(self, headers: Headers) -> None:
        """Neither is one that was read."""
        assert not decode(headers, DATA).time_unreadable

    @pytest.mark.parametrize("number", ["9" * 5001, "-" + "9" * 5001, "9" * 60_000, "1e400", "0." + "1" * 5001])
    def test_a_number_in_an_unknown_field_may_have_any_length(self, number: str) -> None:
        """It is no reason to refuse an event, and is read in linear time."""
        assert ("n",) == decode(binary(), f'{{"mentor_id":"mentor-042","n":{number}}}'.encode()).unknown_fields

    def test_the_offset_survives(self) -> None:
        """A written time keeps its offset in both modes; the digest does not depend on it."""
        kind = EVENTS_BY_NAME["cert-expiry"]
        berlin, utc = (
            Event(kind, "1", "/tests", kind.model.model_validate({"mentor_id": "m", "expiry_date": date}))
            for date in ("2026-05-01T00:00:00+02:00", "2026-04-30T22:00:00Z")
        )

        for encode in (encode_binary, encode_structured):
            assert b'"2026-05-01T00:00:00+02:00"' in encode(berlin).value
        assert utc.digest == berlin.digest

    @pytest.mark.parametrize("encode", [encode_binary, encode_structured])
    def test_the_offset_of_the_time_survives(self, encode: Callable[[Event], EventRecord]) -> None:
        """The event's own time keeps its offset, too; its calendar day follows from it."""
        time = parse_with_offset("2026-03-01T00:00:00+01:00")
        record = encode(Event(LIFTED, "1", "/tests", LIFTED.model(mentor_id="mentor-042"), time=time))

        back = decode(record.headers, record.value).time
        assert back is not None
        assert "2026-03-01T00:00:00+01:00" == back.isoformat()

    @pytest.mark.parametrize("stated", [{}, {"datacontenttype": "application/json"}])
    def test_bytes_that_the_official_sdk_wrote_are_read(self, stated: Mapping[str, str]) -> None:
        """It writes `data_base64` in structured mode when its data is bytes."""
        attributes = {**ENVELOPE, **stated}
        del attributes["data"]
        message = to_structured_event(CloudEvent(attributes=attributes, data=DATA))
        assert b"data_base64" in message.value

        event = decode(list(message.headers.items()), message.value)
        expected = decode(binary(), DATA)
        assert expected.dispatch_id == event.dispatch_id
        assert expected.digest == event.digest

    def test_unknown_fields_are_only_named(self) -> None:
        """Their values are ignored, but the names can be counted."""
        event = decode(binary(), b'{"mentor_id":"mentor-042","colour":"green"}')

        assert ("colour",) == event.unknown_fields
        assert decode(binary(), DATA).digest == event.digest


ACTIVATED = EVENTS_BY_NAME["pause-activated"].type.encode()
PAUSE_RULES = (
    "mentor_id: is missing; expected_return_date: must be an RFC 3339 date-time as a string, "
    "such as 2026-05-01T00:00:00Z; pause_reason: is missing"
)
DATE_RULE = "expected_return_date: must be an RFC 3339 date-time with a zone, such as 2026-05-01T00:00:00Z"
Refusals = Mapping[str, tuple[NotAnEventReason, Headers, bytes | None]]
R = NotAnEventReason
REFUSALS: Refusals = {
    "null": (R.NULL_VALUE, binary(), None),
    "null without headers": (R.NULL_VALUE, [], None),
    "too large": (R.TOO_LARGE, binary(), b" " * MAX_EVENT_BYTES + DATA),
    "headers too large": (R.TOO_LARGE, [*binary(), ("x", b"x" * MAX_EVENT_BYTES)], DATA),
    "an id twice": (R.DUPLICATE_HEADER, [*binary(), ("ce_id", b"2")], DATA),
    "an id twice in other cases": (R.DUPLICATE_HEADER, [*binary(), ("CE_ID", b"1")], DATA),
    "two content types": (R.DUPLICATE_HEADER, [*binary(), ("Content-Type", b"application/json")], DATA),
    "an id that is no UTF-8": (R.INVALID_HEADER, binary(id=b"\xff"), DATA),
    "an extension that is no UTF-8": (R.INVALID_HEADER, binary(other=b"\xff"), DATA),
    "no headers": (R.MISSING_ATTRIBUTE, [], DATA),
    "no id": (R.MISSING_ATTRIBUTE, binary(id=None), DATA),
    "an empty id": (R.MISSING_ATTRIBUTE, binary(id=b""), DATA),
    "no source": (R.MISSING_ATTRIBUTE, binary(source=None), DATA),
    "no type": (R.MISSING_ATTRIBUTE, binary(type=None), DATA),
    "no version": (R.MISSING_ATTRIBUTE, binary(specversion=None), DATA),
    "another version": (R.INVALID_ATTRIBUTE, binary(specversion=b"0.3"), DATA),
    "an id of 10 kB": (R.INVALID_ATTRIBUTE, binary(id=b"i" * 10_000), DATA),
    "NUL in the id": (R.INVALID_ATTRIBUTE, binary(id=b"a\0b"), DATA),
    "too long a source": (R.INVALID_ATTRIBUTE, binary(source=b"s" * 513), DATA),
    "XML": (R.UNSUPPORTED_CONTENT_TYPE, binary(content_type=b"application/xml"), DATA),
    "Avro, structured": (R.UNSUPPORTED_CONTENT_TYPE, [("content-type", b"application/cloudevents+avro")], DATA),
    "a batch": (R.UNSUPPORTED_CONTENT_TYPE, [("content-type", b"application/cloudevents-batch+json")], b"[]"),
    "another type": (R.UNKNOWN_TYPE, binary(type=b"mentor.pause.activated.v2"), DATA),
    "no JSON": (R.NOT_JSON, binary(), b"{"),
    "nothing": (R.NOT_JSON, binary(), b""),
    "no UTF-8": (R.NOT_JSON, binary(), b'{"mentor_id":"\xff"}'),
    "nested deeply": (R.NOT_JSON, binary(), b'{"mentor_id":' + b"[" * 20_000 + b"]" * 20_000 + b"}"),
    "NaN": (R.NOT_JSON, binary(), b'{"mentor_id":NaN}'),
    "Infinity": (R.NOT_JSON, binary(), b'{"mentor_id":-Infinity}'),
    "a lone surrogate": (R.NOT_JSON, binary(), b'{"mentor_id":"\\ud800"}'),
    "an array": (R.INVALID_DATA, binary(), b"[]"),
    "a null": (R.INVALID_DATA, binary(), b"null"),
    "no mentor": (R.INVALID_DATA, binary(), b"{}"),
    "a number for a mentor": (R.INVALID_DATA, binary(), b'{"mentor_id":42}'),
    "structured without an id": (R.MISSING_ATTRIBUTE, STRUCTURED, structured(id=...)),
    "structured with a null id": (R.MISSING_ATTRIBUTE, STRUCTURED, structured(id=None)),
    "structured without a source": (R.MISSING_ATTRIBUTE, STRUCTURED, structured(source=...)),
    "structured without a version": (R.MISSING_ATTRIBUTE, STRUCTURED, structured(specversion=...)),
    "structured with a number for an id": (R.INVALID_ATTRIBUTE, STRUCTURED, structured(id=7)),
    "structured with a list for a type": (R.INVALID_ATTRIBUTE, STRUCTURED, structured(type=["x"])),
    "structured without data": (R.INVALID_DATA, STRUCTURED, structured(data=...)),
    "structured with null data": (R.INVALID_DATA, STRUCTURED, structured(data=None)),
    "structured with text for data": (R.INVALID_DATA, STRUCTURED, structured(data='{"mentor_id":"m"}')),
    "structured with bytes that lack a field": (R.INVALID_DATA, STRUCTURED, encoded(b"{}")),
    "structured with bytes that are an array": (R.INVALID_DATA, STRUCTURED, encoded(b"[]")),
    "structured with bytes that are no JSON": (R.NOT_JSON, STRUCTURED, encoded(b"\x01\x02")),
    "structured with data and bytes": (R.INVALID_DATA, STRUCTURED, structured(data_base64="e30=")),
    "structured with no Base64": (R.INVALID_DATA, STRUCTURED, structured(data=..., data_base64="e30")),
    "structured with a number for Base64": (R.INVALID_DATA, STRUCTURED, structured(data=..., data_base64=7)),
    "structured without its content type": (R.UNSUPPORTED_CONTENT_TYPE, [], structured()),
    "a name twice": (R.NOT_JSON, binary(), b'{"mentor_id":"mentor-042","mentor_id":"mentor-007"}'),
    "structured, no JSON": (R.NOT_JSON, STRUCTURED, b"{"),
    "structured, an array": (R.INVALID_DATA, STRUCTURED, b"[]"),
    "structured with a lone surrogate in the id": (R.NOT_JSON, STRUCTURED, structured(id="\ud800")),
    "structured with NUL in the id": (R.INVALID_ATTRIBUTE, STRUCTURED, structured(id="a\0b")),
}


class TestNotAnEvent:
    """An invalid record has a reason and does not stop a reader."""

    @pytest.mark.parametrize(("reason", "headers", "value"), REFUSALS.values(), ids=REFUSALS)
    def test_a_record_is_refused_for_its_reason(
        self, reason: NotAnEventReason, headers: Headers, value: bytes | None
    ) -> None:
        """Each has its own reason."""
        assert reason == refused(headers, value).reason

    def test_every_reason_is_used(self) -> None:
        """No reason is without a case."""
        assert {*NotAnEventReason} == {reason for reason, _, _ in REFUSALS.values()}

    @pytest.mark.parametrize(
        ("headers", "value", "detail"),
        [
            (binary(id=None, source=None), DATA, "id, source: missing or empty"),
            (binary(), b'{"mentor_id":"secret\\n"}', "mentor_id: must not hold control characters"),
            (binary(), b'{"mentor_id":" "}', "mentor_id: must not be empty"),
            (binary(), b"{}", "mentor_id: is missing"),
            (binary(type=ACTIVATED), b'{"expected_return_date":7}', PAUSE_RULES),
            (
                binary(type=ACTIVATED),
                b'{"mentor_id":"m","expected_return_date":"secret","pause_reason":"r"}',
                DATE_RULE,
            ),
            (binary(), b'{"secret"', "data: is not JSON: at line 1, column 10: Expecting ':' delimiter"),
            (STRUCTURED, structured(data_base64="e30="), "data, data_base64: must not both be present"),
            (STRUCTURED, structured(data=..., data_base64="secret!"), "data_base64: must be Base64 (RFC 4648)"),
            (STRUCTURED, encoded(b"secret"), "data_base64: is not JSON: at line 1, column 1: Expecting value"),
            (STRUCTURED, encoded(b"[]"), "data_base64: must be a JSON object"),
            (binary(id=b"secret" * 100), DATA, "id: must be a string of 1 to 256 characters"),
            ([*binary(), ("ce_id", b"secret")], DATA, "ce_id: appears twice"),
        ],
    )
    def test_the_detail_names_fields_and_no_values(self, headers: Headers, value: bytes, detail: str) -> None:
        """A dead letter's header has a field's name, but never its value."""
        assert detail == refused(headers, value).detail

    def test_a_missing_id_is_never_generated(self) -> None:
        """A random id would make each delivery a new event."""
        details = {refused(STRUCTURED, structured(id=...)).detail for _ in range(2)}

        assert {"id: missing or empty"} == details

    @settings(deadline=None, max_examples=200)
    @given(
        headers=st.lists(
            st.tuples(
                st.sampled_from(["ce_id", "ce_type", "ce_source", "ce_specversion", "ce_time", "content-type", "x"])
                | st.text(max_size=8),
                st.none()
                | st.binary(max_size=30)
                | st.sampled_from([*HEADERS.values(), b"application/cloudevents+json"]),
            ),
            max_size=8,
        ),
        value=st.none() | st.binary(max_size=60) | st.sampled_from([DATA, structured()]),
    )
    def test_any_record_is_an_event_or_has_a_reason(self, headers: Headers, value: bytes | None) -> None:
        """Decoding any bytes returns an event or raises NotAnEvent, and nothing else."""
        try:
            event = decode(headers, value)
        except NotAnEvent:
            return

        assert "mentor-042" == event.mentor_id
