"""The record of a control: what it is named after, whom it concerns, and what is not read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.controls import MAX_TEXT, Control, ControlKind, control_json, parse_control

NOW = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


def control(kind: ControlKind = ControlKind.SENDING_STOPPED, **fields: Any) -> Control:
    """Return a control of Amara's."""
    return Control(kind=kind, **{"by": "amara", "at": NOW, "reason": "wrong text", **fields})


def cancel(**fields: Any) -> Control:
    """Return a cancel of the events of an hour."""
    return control(ControlKind.CANCEL, **{"id": "0123abcd", "source": "/hr", "since": NOW - HOUR, **fields})


EACH = (
    (b"sending_stopped", control()),
    (b"source_held:/hr", control(ControlKind.SOURCE_HELD, source="/hr")),
    (b"cancel:0123abcd", cancel(event_type="mentor.pause.lifted.v1", until=NOW + HOUR)),
    (b"log_level", control(ControlKind.LOG_LEVEL, level="debug", until=NOW + HOUR)),
    (b"sending_stopped", control(lifted=True)),
)


@pytest.mark.parametrize(("key", "one"), EACH)
def test_a_control_is_read_as_it_was_written(key: bytes, one: Control) -> None:
    """Under the key that names what it controls."""
    assert key == one.key
    assert one == parse_control(key, control_json(one))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, control_json(control())),
        (b"log_level", control_json(control())),
        (b"source_held:/it", control_json(EACH[1][1])),
        (b"source_held", control_json(control(ControlKind.SOURCE_HELD))),
        (b"cancel:0123abcd", control_json(cancel(since=None))),
        (b"log_level", control_json(control(ControlKind.LOG_LEVEL, level="debug"))),
        (b"sending_stopped", None),
        (b"sending_stopped", b""),
        (b"sending_stopped", b"[" * 10_000),
        (b"sending_stopped", b"\xff"),
        (b"sending_stopped", control_json(control(reason="x" * (MAX_TEXT + 1)))),
        (b"sending_stopped", control_json(control(by="x" * (MAX_TEXT + 1)))),
        (b"sending_stopped", control_json(control()).replace(b"sending_stopped", b"of_a_newer_release")),
        (b"sending_stopped", control_json(control()).replace(b"2026", b"0001")),
    ],
)
def test_an_incomplete_or_unreadable_record_is_none(key: bytes | None, value: bytes | None) -> None:
    """Nor is one whose key names another control."""
    assert parse_control(key, value) is None


@given(st.none() | st.binary(max_size=40), st.none() | st.binary(max_size=200))
def test_no_record_is_a_crash(key: bytes | None, value: bytes | None) -> None:
    """Strangers may write any bytes."""
    assert parse_control(key, value) is None


@pytest.mark.parametrize(
    ("until", "lifted", "in_force"),
    [(None, False, True), (NOW + HOUR, False, True), (NOW, False, False), (None, True, False)],
)
def test_a_control_ends_by_itself_or_is_lifted(until: datetime | None, *, lifted: bool, in_force: bool) -> None:
    """From `until` on it does not apply."""
    assert in_force == control(until=until, lifted=lifted).is_in_force(NOW)


@pytest.mark.parametrize(
    ("source", "event_type", "ago", "cancelled"),
    [
        ("/hr", "a", timedelta(), True),
        ("/hr", "a", HOUR, True),
        ("/hr", "a", HOUR + timedelta.resolution, False),
        ("/hr", "a", -timedelta.resolution, False),
        ("/it", "a", timedelta(), False),
        ("/hr", "b", timedelta(), False),
    ],
)
def test_a_cancel_concerns_a_source_a_type_and_a_span(
    source: str, event_type: str, ago: timedelta, *, cancelled: bool
) -> None:
    """Up to the moment at which somebody cancelled: what is published later is sent."""
    assert cancelled == cancel(event_type="a").cancels(source, event_type, NOW - ago)


def test_without_a_type_a_cancel_concerns_all() -> None:
    """The type only narrows it."""
    assert cancel().cancels("/hr", "anything", NOW)


@pytest.mark.parametrize("one", [one for _, one in EACH if one.kind is not ControlKind.CANCEL])
def test_no_other_control_cancels(one: Control) -> None:
    """Whatever its fields hold."""
    assert not one.cancels("/hr", "mentor.pause.lifted.v1", NOW)
