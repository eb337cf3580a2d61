"""A glimpse of a record's bytes says what reading it in full says, or nothing."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from consumers.ledger.partial_read import (
    NOBODY,
    Called,
    Seen,
    glimpse_call,
    glimpse_seen,
    glimpse_told,
    seen_of,
    told_of,
)
from schemas.dispatch import Dispatch, dispatch_json
from schemas.events import PAUSES_TOPIC
from tests.unit.dispatches import COORDINATOR, FIRST_ID, MENTOR, NOW, changed, dispatch_of, dispatches

KEY = FIRST_ID.encode()
SENT = changed(MENTOR, status="sent", send=1, message_id="msg-1")
ENDED = dispatch_of(SENT, COORDINATOR, ended_at=NOW).seen(PAUSES_TOPIC, 7)
ODD_IDS = st.sampled_from(["]}", '"seen_through":{"t":1}}', "\\", '"recipients":[', '"keyless":true}', "ü"])


def test_of_what_nearly_all_records_are_all_is_told() -> None:
    """Else a ledger would have to read them, one by one."""
    value = dispatch_json(ENDED)

    assert (told_of(ENDED), Seen(PAUSES_TOPIC, 7)) == (glimpse_told(KEY, value), glimpse_seen(value))
    assert Called("mentor-042", PAUSES_TOPIC, 7, keyless=False) == glimpse_call(value)


@given(dispatches())
def test_what_is_told_is_true(dispatch: Dispatch) -> None:
    """Of any record of a dispatch."""
    _holds(dispatch)


@given(ODD_IDS, ODD_IDS, st.booleans())
def test_nobody_is_misled_by_what_an_id_looks_like(mentor: str, other: str, keyless: bool) -> None:  # noqa: FBT001 - drawn
    """Ids are the producers', and may hold whatever prints."""
    told = changed(MENTOR, contact_id=mentor), changed(COORDINATOR, contact_id=other)
    request = {"id": other, "caller": mentor, "keyless": keyless}
    record = dispatch_of(*told, mentor_id=mentor, request=request, retry_of="f" * 32, ended_at=NOW)
    for through in ({}, {PAUSES_TOPIC: 3}, {PAUSES_TOPIC: 3, "other": 4}):
        _holds(structs.replace(record, seen_through=through))
        _holds(structs.replace(record, seen_through=through, retry_of=None))


def _holds(dispatch: Dispatch) -> None:
    truth, value = _Truth.of(dispatch), dispatch_json(dispatch)
    assert glimpse_told(KEY, value) in {None, truth.told}
    assert glimpse_seen(value) in {None, truth.seen}
    assert glimpse_call(value) in {None, truth.called}


@dataclass
class _Truth:
    told: int
    seen: Seen
    called: Called

    @classmethod
    def of(cls, dispatch: Dispatch) -> _Truth:
        origin, request = dispatch.origin, dispatch.request
        keyless = request is not None and request.keyless
        return cls(
            told_of(dispatch),
            seen_of(dispatch),
            Called(dispatch.mentor_id, origin.topic, origin.offset, keyless=keyless),
        )


@pytest.mark.parametrize("value", [b"", b"none", b"[]", b"{}", b'{"recipients":[]}', dispatch_json(ENDED)[:-1]])
def test_of_anything_else_nothing_is_told(value: bytes) -> None:
    """It is read in full, and found to be what it is."""
    assert (None, None) == (glimpse_told(b"f" * 32, value), glimpse_seen(value))


def test_a_key_that_is_not_the_records_tells_nothing() -> None:
    """Whose dispatch it is, its value says."""
    assert glimpse_told(b"f" * 32, dispatch_json(ENDED)) is None


def test_recipients_are_told_from_others_by_what_became_of_them() -> None:
    """Two records that tell the same need not both be kept."""
    again, other, nobody = ENDED.seen(PAUSES_TOPIC, 9), ENDED.with_recipients([changed(SENT, send=2)]), dispatch_of()

    assert told_of(ENDED) == told_of(again)
    assert told_of(ENDED) != told_of(other)
    assert NOBODY == told_of(nobody)
