"""The codec: events to records and back in both modes, and a named reason for all that is no event."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import EventRecord, NotAnEvent, NotAnEventReason, decode, encode_binary, encode_structured
from schemas.events import EVENTS, EVENTS_BY_NAME, MAX_EVENT_BYTES, Event, EventType
from schemas.headers import Headers

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
    """Give the headers of a binary event, but for what is stated; None leaves one out."""
    named = {**HEADERS, **{name if name == "content_type" else f"ce_{name}": value for name, value in changes.items()}}
    if "content_type" in named:
        named["content-type"] = named.pop("content_type")
    return [(name, value) for name, value in named.items() if value is not None]


def structured(**changes: Any) -> bytes:
    """Give a structured event, but for what is stated; ... leaves a field out."""
    return json.dumps({name: value for name, value in {**ENVELOPE, **changes}.items() if value is not ...}).encode()


def refused(headers: Headers, value: bytes | None) -> NotAnEvent:
    """Give why a record is no event."""
    with pytest.raises(NotAnEvent) as caught:
        decode(headers, value)
    return caught.value


class TestBothModes:
    """An event that was written is read again."""

    @settings(deadline=None, max_examples=150)
    @given(
        encode=st.sampled_from([encode_binary, encode_structured]),
        kind=st.sampled_from(EVENTS),
        event_id=_TEXT,
        source=_TEXT,
        mentor=_TEXT,
        time=st.none() | _TIMES,
    )
    def test_an_event_comes_back_as_itself(
        self,
        encode: Callable[[Event], EventRecord],
        kind: EventType,
        event_id: str,
        source: str,
        mentor: str,
        time: datetime | None,
    ) -> None:
        """Whatever ids, sources and mentors are called; where the producer said no time, there is none."""
        data = kind.model.model_validate({**kind.example, "mentor_id": mentor})
        event = Event(kind=kind, id=event_id, source=source, data=data, time=time)

        record = encode(event)

        assert event == decode(record.headers, record.value)
        assert (kind.topic, mentor.encode()) == (record.topic, record.key)

    def test_both_modes_are_one_event(self) -> None:
        """Identity and digest do not tell how an event was written."""
        one, other = decode(binary(), DATA), decode(STRUCTURED, structured())

        assert (one, one.dispatch_id, one.digest) == (other, other.dispatch_id, other.digest)

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
    def test_what_the_specification_leaves_free_makes_no_difference(self, headers: Headers) -> None:
        """Case of names, content type and its parameters, extensions, strangers' headers, an empty time."""
        assert decode(binary(), DATA) == decode(headers, DATA)

    def test_unknown_fields_are_named_not_kept(self) -> None:
        """They are ignored, but can be counted."""
        event = decode(binary(), b'{"mentor_id":"mentor-042","colour":"green"}')

        assert ("colour",) == event.unknown_fields
        assert decode(binary(), DATA).digest == event.digest


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
    "a naive time": (R.INVALID_ATTRIBUTE, binary(time=b"2026-05-01T00:00:00"), DATA),
    "a time that does not exist": (R.INVALID_ATTRIBUTE, binary(time=b"2026-02-30T00:00:00Z"), DATA),
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
    "structured with a number for a time": (R.INVALID_ATTRIBUTE, STRUCTURED, structured(time=1_777_593_600)),
    "structured without data": (R.INVALID_DATA, STRUCTURED, structured(data=...)),
    "structured with null data": (R.INVALID_DATA, STRUCTURED, structured(data=None)),
    "structured with text for data": (R.INVALID_DATA, STRUCTURED, structured(data='{"mentor_id":"m"}')),
    "structured with Base64": (R.INVALID_DATA, STRUCTURED, structured(data=..., data_base64="e30=")),
    "structured, no JSON": (R.NOT_JSON, STRUCTURED, b"{"),
    "structured, an array": (R.INVALID_DATA, STRUCTURED, b"[]"),
    "structured with a lone surrogate in the id": (R.NOT_JSON, STRUCTURED, structured(id="\ud800")),
    "structured with NUL in the id": (R.INVALID_ATTRIBUTE, STRUCTURED, structured(id="a\0b")),
}


class TestNotAnEvent:
    """Whatever is no event has a reason, and stops nobody."""

    @pytest.mark.parametrize(("reason", "headers", "value"), REFUSALS.values(), ids=REFUSALS)
    def test_a_record_is_refused_for_its_reason(
        self, reason: NotAnEventReason, headers: Headers, value: bytes | None
    ) -> None:
        """Each has the reason that a person will look for."""
        assert reason == refused(headers, value).reason

    def test_every_reason_is_reached(self) -> None:
        """No reason is a dead word."""
        assert {*NotAnEventReason} == {reason for reason, _, _ in REFUSALS.values()}

    @pytest.mark.parametrize(
        ("headers", "value", "detail"),
        [
            (binary(id=None, source=None), DATA, "id, source: missing or empty"),
            (binary(), b'{"mentor_id":"secret\\n"}', "mentor_id: missing or invalid"),
            (binary(id=b"secret" * 100), DATA, "id: must be a string of 1 to 256 characters"),
            ([*binary(), ("ce_id", b"secret")], DATA, "ce_id: stands twice"),
        ],
    )
    def test_the_detail_names_fields_and_no_values(self, headers: Headers, value: bytes, detail: str) -> None:
        """What lies in a dead letter's header is a field's name, never what somebody wrote into it."""
        assert detail == refused(headers, value).detail

    def test_a_time_that_does_not_exist_is_not_repeated(self) -> None:
        """The library's words about a time would repeat it."""
        assert "2026-02-30" not in refused(binary(time=b"2026-02-30T00:00:00Z"), DATA).detail

    def test_a_missing_id_is_never_made_up(self) -> None:
        """An event without an id is no event however often it comes: a random one would be another each time."""
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
        """Whatever bytes lie in a topic, decoding ends in an event or in NotAnEvent, and nothing else."""
        try:
            event = decode(headers, value)
        except NotAnEvent:
            return

        assert "mentor-042" == event.mentor_id
