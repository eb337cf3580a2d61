"""A glimpse of a record's bytes says what reading it in full says, or nothing."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from consumers.ledger.partial_read import (
    NO_RECIPIENTS,
    Call,
    Processed,
    processed_of,
    read_call,
    read_id,
    read_processed,
    read_recipients_fingerprint,
    recipients_fingerprint,
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

    assert recipients_fingerprint(ENDED) == read_recipients_fingerprint(value)
    assert Processed(PAUSES_TOPIC, 7) == read_processed(value)
    assert Call("mentor-042", PAUSES_TOPIC, 7, keyless=False) == read_call(value)


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
    assert read_recipients_fingerprint(value) in {None, truth.fingerprint}
    assert read_processed(value) in {None, truth.processed}
    assert read_call(value) in {None, truth.called}


@dataclass
class _Truth:
    fingerprint: int
    processed: Processed
    called: Call

    @classmethod
    def of(cls, dispatch: Dispatch) -> _Truth:
        origin, request = dispatch.origin, dispatch.request
        keyless = request is not None and request.keyless
        return cls(
            recipients_fingerprint(dispatch),
            processed_of(dispatch),
            Call(dispatch.mentor_id, origin.topic, origin.offset, keyless=keyless),
        )


@pytest.mark.parametrize("value", [b"", b"none", b"[]", b"{}", b'{"recipients":[]}', dispatch_json(ENDED)[:-1]])
def test_of_anything_else_nothing_is_told(value: bytes) -> None:
    """It is read in full, and found to be what it is."""
    assert read_id(b"f" * 32, value) is None
    assert read_processed(value) is None


def test_the_id_is_that_of_key_and_value() -> None:
    """A key of another form, or another id's, has no id: the record is read in full."""
    value = dispatch_json(ENDED)
    longer = dispatch_json(ENDED.model_copy(update={"dispatch_id": f"{FIRST_ID}0"}))
    upper = dispatch_json(ENDED.model_copy(update={"dispatch_id": "F" * 32}))
    no_hex = dispatch_json(ENDED.model_copy(update={"dispatch_id": "g" * 32}))

    assert bytes.fromhex(FIRST_ID) == read_id(KEY, value)
    assert read_id(b"f" * 32, value) is None
    assert read_id(KEY[:-1], value) is None
    assert read_id(KEY, longer) is None
    assert read_id(b"F" * 32, upper) is None
    assert read_id(b"g" * 32, no_hex) is None
    assert read_id(KEY, value[:48]) is None


def test_recipients_are_told_from_others_by_what_became_of_them() -> None:
    """Two records that tell the same need not both be kept."""
    again, other, nobody = ENDED.seen(PAUSES_TOPIC, 9), ENDED.with_recipients([changed(SENT, send=2)]), dispatch_of()

    assert recipients_fingerprint(ENDED) == recipients_fingerprint(again)
    assert recipients_fingerprint(ENDED) != recipients_fingerprint(other)
    assert NO_RECIPIENTS == recipients_fingerprint(nobody)
