"""The published schema, REST and Kafka (in both modes) accept the same documents."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from deploy.contracts.export import json_schema
from schemas.cloudevents import NotAnEvent, NotAnEventReason, decode, encode_binary, encode_structured
from schemas.contacts import Contact, read_contact
from schemas.events import EVENTS, EVENTS_BY_NAME, Event, EventType, _printable
from tests.fakes.facade import BASE, Setup, fake_facade

_RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d):(\d\d)(\.\d+)?([Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_LEAP_SECOND = "60"

FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time", raises=(ValueError, AttributeError))
def _is_date_time(text: object) -> bool:
    """Check RFC 3339, section 5.6, with leap seconds; independent of our own parser, which is under test."""
    if not isinstance(text, str):
        return True
    found = _RFC_3339.fullmatch(text)
    if found is None:
        return False
    date, clock, seconds, _, _, sign, hours, minutes = found.groups()
    shift = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    local = datetime.fromisoformat(f"{date}T{clock}:{'59' if seconds == _LEAP_SECOND else seconds}")
    if abs(shift) >= timedelta(days=1) or int(minutes or 0) > 59:
        return False
    return seconds != _LEAP_SECOND or (local - shift).strftime("%H:%M") == "23:59"


SCHEMAS = {event.name: json_schema(event.type, event.model) for event in EVENTS}
VALIDATORS = {name: Draft202012Validator(schema, format_checker=FORMATS) for name, schema in SCHEMAS.items()}

# A lone surrogate cannot be written in UTF-8, and REST and Kafka refuse a document with one as invalid JSON.
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_ODD = st.sampled_from(
    ["\0", "\n", "\r\n", "\t", "\x1f", "\x7f", "\x85", "\x9f", "\u2028", "\u2029", "\u200b", "\ufeff"]
)
_BLANK = st.text(" \xa0\u1680\u2003\u202f\u205f\u3000\t\x1c", max_size=3)
_LONG = st.sampled_from([1, 127, 128, 129, 499, 500, 501]).map(lambda length: "ж" * length)
_TEXTS = _TEXT | _BLANK | _LONG | st.builds("{}{}{}".format, _TEXT, _ODD, _TEXT)
_DATE_TIMES = st.from_regex(
    r"\A(000[0-3]|00[0-9]{2}|1[89]7[0-9]|202[4-7]|9999|[0-9]{4})-(0[0-9]|1[0-3])-(01|[0-3][0-9])[Tt ]"
    r"(00|2[0-4]|23):([0-6]0|59):(00|[0-6][0-9]|60)(\.[0-9]{0,10})?([Zz]|[+-](0[0-9]|2[0-4]):(00|[0-6][0-9]))?\n?\Z"
)
_NOTED = st.sampled_from(
    [
        "2026-05-01T00:00:00Z",
        "2026-05-01T00:00:00+02:00",
        "0001-01-01T00:00:00Z",
        "2026-12-31T23:59:60Z",
        "2027-01-01T01:59:60+02:00",
        "2026-12-31T12:00:60Z",
        "2026-12-31T23:59:60+02:00",
        "9999-12-31T23:59:59-01:00",
        "9999-12-31T23:59:60Z",
        "2026-02-30T00:00:00Z",
        "2026-05-01T00:00:00Z\n",
        "2026-05-01T00:00:00Z ",
        "\uff12\uff10\uff12\uff16-05-01T00:00:00Z",
        "2026-05-01T00:00:00.1234567891Z",
        "2026-05-01",
        "1777593600",
    ]
)
_NUMBERS = (
    st.integers()
    | st.sampled_from([-1, 0, -0.0, 14.0, 14.5, 3650, 3650.0, 3651, 1e2, 1e30, 10**30, -(10**30), True, False])
    | st.floats(allow_nan=False, allow_infinity=False)
)
_ANYTHING = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS | _NOTED,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=5,
)


def _of_schema(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Return nearly all values that a field's schema allows."""
    if schema["type"] == "integer":
        return st.integers(schema["minimum"], schema["maximum"])
    if schema.get("format") == "date-time":
        return st.datetimes().map(lambda moment: f"{moment.isoformat()}Z") | _NOTED
    return st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=schema["maxLength"])


@st.composite
def documents(draw: st.DrawFn) -> tuple[EventType, Any]:
    """Draw an event's type and a document for its schema, changed in up to two places."""
    event = draw(st.sampled_from(EVENTS))
    fields = SCHEMAS[event.name]["properties"]
    document: dict[str, Any] = {name: draw(_of_schema(schema)) for name, schema in fields.items()}
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from([*fields, "a_strangers_field"]))
        if draw(st.booleans()):
            document[name] = draw(_TEXTS | _DATE_TIMES | _NOTED | _NUMBERS | _ANYTHING)
        else:
            document.pop(name, None)
    return event, draw(st.one_of(*[st.just(document)] * 9, _ANYTHING))


def _headers(event: EventType) -> dict[str, str]:
    return {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/tests", "ce_type": event.type}


def _binary(event: EventType, body: bytes) -> Event | NotAnEvent:
    """Return the event of a record in binary mode, or why it is none."""
    try:
        return decode([(name, value.encode()) for name, value in _headers(event).items()], body)
    except NotAnEvent as error:
        return error


def _structured(event: EventType, document: Any) -> Event | NotAnEvent:
    """Return the event of a record in structured mode, or why it is none."""
    attributes = {name.removeprefix("ce_"): value for name, value in _headers(event).items()}
    value = json.dumps({**attributes, "data": document}).encode()
    try:
        return decode([("content-type", b"application/cloudevents+json")], value)
    except NotAnEvent as error:
        return error


def _blamed_by_schema(event: EventType, document: Any) -> set[str]:
    """Return the fields that the schema refuses; empty for a document that is no object."""
    errors = list(VALIDATORS[event.name].iter_errors(document))
    required = {name for error in errors if error.validator == "required" for name in error.validator_value}
    missing = required - set(document if isinstance(document, dict) else required)
    return missing | {str(error.path[0]) for error in errors if error.path}


def _rules(answer: httpx.Response) -> str:
    """Return the broken rules of an answer as a dead letter's detail has them."""
    if not answer.json()["errors"][0]["pointer"]:
        return "data: must be a JSON object"
    return "; ".join(f"{error['pointer'][1:]}: {error['detail']}" for error in answer.json()["errors"])


@pytest.fixture(name="setup")
async def _setup() -> AsyncIterator[Setup]:
    async with fake_facade(reply_timeout_seconds=0.1) as setup:
        yield setup


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # one facade serves all examples
)
@given(drawn=documents())
async def test_schema_rest_and_kafka_judge_alike(setup: Setup, drawn: tuple[EventType, Any]) -> None:
    """
    All of them accept a document, or all of them refuse it for the same reason and because of the same fields.

    What REST publishes for a valid document is the event that Kafka reads of it, in either mode, and is valid again.
    """
    kind, document = drawn
    body = json.dumps(document).encode()
    published = len(setup.publisher.records)

    answer = await setup.client.post(f"{BASE}/{kind.name}", content=body, headers={"Prefer": "wait=0"})

    binary, structured = _binary(kind, body), _structured(kind, document)
    if VALIDATORS[kind.name].is_valid(document):
        assert 202 == answer.status_code
        assert isinstance(binary, Event)
        assert binary == structured
        (record,) = setup.publisher.records[published:]
        assert binary.digest == decode(record.headers, record.value).digest
        for encode in (encode_binary, encode_structured):
            again = encode(binary)
            assert replace(binary, unknown_fields=()) == decode(again.headers, again.value)
        assert VALIDATORS[kind.name].is_valid(json.loads(encode_binary(binary).value))
        return
    assert 422 == answer.status_code
    assert published == len(setup.publisher.records)
    assert isinstance(binary, NotAnEvent)
    assert isinstance(structured, NotAnEvent)
    assert {NotAnEventReason.INVALID_DATA} == {binary.reason, structured.reason}
    assert _rules(answer) == structured.detail
    assert _rules(answer) == binary.detail.partition("; the data is a string")[0]
    assert _blamed_by_schema(kind, document) == {error["pointer"][1:] for error in answer.json()["errors"]} - {""}


def test_the_pattern_of_a_text_is_the_rule_for_every_character() -> None:
    """Pattern and service agree about each character of the basic plane, alone or within a text."""
    schema = SCHEMAS["pause-lifted"]["properties"]["mentor_id"]
    needed, forbidden = re.compile(schema["pattern"]), re.compile(schema["not"]["pattern"])
    surrogates = range(0xD800, 0xE000)

    def allowed(text: str) -> bool:
        try:
            return bool(_printable(text))
        except ValueError:
            return False

    characters = [chr(code) for code in range(0x10000) if code not in surrogates]
    texts = [*characters, *(f"a{character}a" for character in characters)]
    published = [text for text in texts if needed.search(text) and not forbidden.search(text)]
    assert published == [text for text in texts if allowed(text)]


_ADDRESSES = st.text(st.sampled_from("ab1.-_@@+'\" \\\\,;:<>()[]\n\t\x7f"), max_size=16) | st.builds(
    "{}@{}{}".format,
    st.sampled_from(["amara", "a..b.", '"a b"', '"a@b"', '"a\\\\"b"', '"', "é", "", "a b", "x" * 308]),
    st.sampled_from(["example.org", "exa_mple", "a", "", "a,b", "[1.2.3.4]", "a b", "-"]),
    st.sampled_from(["", "\n", " ", ">"]),
)


@given(_ADDRESSES)
def test_schema_and_replica_judge_an_address_alike(address: str) -> None:
    """The published schema and a replica accept the same addresses with a domain in ASCII."""
    record = {"id": "mentor-042", "role": "mentor", "email": address}
    valid = Draft202012Validator(json_schema("contact", Contact)).is_valid(record)

    _, faults = read_contact(json.dumps(record).encode(), key="mentor-042")

    assert valid == ("email" not in faults)


@pytest.mark.parametrize(
    ("name", "field", "written", "rule"),
    [
        ("pause-activated", "expected_return_date", '"2026-05-01"', "must be an RFC 3339 date-time with a zone"),
        ("pause-activated", "pause_reason", r'"\n"', "must not hold control characters"),
        ("pause-activated", "pause_reason", '""', "must not be empty"),
        ("pause-lifted", "mentor_id", f'"{"x" * 129}"', "must have at most 128 characters"),
        ("cert-expiry", "expiry_date", '"0001-01-01T00:00:00Z"', "must not be in the year 1"),
        ("cert-expiry-reminder", "days_remaining", "1.5", "must be a whole number"),
        ("cert-expiry-reminder", "days_remaining", "9" * 5001, "must be at most 3650"),
    ],
)
async def test_rest_and_kafka_name_the_same_rule(setup: Setup, name: str, field: str, written: str, rule: str) -> None:
    """An answer over REST and a dead letter state a broken rule in the same words."""
    event = EVENTS_BY_NAME[name]
    body = json.dumps({**event.example, field: "?"}).replace('"?"', written).encode()

    answer = await setup.client.post(f"{BASE}/{name}", content=body)
    with pytest.raises(NotAnEvent) as refused:
        decode([(header, value.encode()) for header, value in _headers(event).items()], body)

    (error,) = answer.json()["errors"]
    assert rule in error["detail"]
    assert f"/{field}" == error["pointer"]
    assert f"{field}: {error['detail']}" == refused.value.detail
