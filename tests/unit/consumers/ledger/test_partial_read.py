"""A partial read of a record returns what a full read returns, or None."""

from __future__ import annotations

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
    read_final,
    read_processed,
    recipients_fingerprint,
)
from schemas.dispatch import Dispatch, dispatch_json
from schemas.events import PAUSES_TOPIC
from tests.unit.dispatches import COORDINATOR, FIRST_ID, MENTOR, NOW, changed, dispatch_of, dispatches

KEY = FIRST_ID.encode()
SENT = changed(MENTOR, status="sent", send=1, message_id="msg-1")
ENDED = dispatch_of(SENT, COORDINATOR, ended_at=NOW).seen(PAUSES_TOPIC, 7)
ODD_IDS = st.sampled_from(["]}", '"seen_through":{"t":1}}', "\\", '"recipients":[', '"keyless":true}', "ü"])


def test_an_ordinary_final_record_is_read_in_part() -> None:
    """Otherwise a ledger would have to read them all in full, one by one."""
    value = dispatch_json(ENDED)

    assert (bytes.fromhex(FIRST_ID), recipients_fingerprint(ENDED)) == read_final(KEY, value)
    assert Processed(PAUSES_TOPIC, 7) == read_processed(value)
    assert Call("mentor-042", PAUSES_TOPIC, 7, keyless=False) == read_call(value)


@given(dispatches())
def test_a_partial_read_agrees_with_a_full_one(dispatch: Dispatch) -> None:
    """This holds for the record of any dispatch."""
    _assert_agrees(dispatch)


@given(ODD_IDS, ODD_IDS, st.booleans())
def test_an_id_that_looks_like_json_does_not_mislead(mentor: str, other: str, keyless: bool) -> None:  # noqa: FBT001 - drawn
    """Ids are the producers', and may hold any printable character."""
    recipients = changed(MENTOR, contact_id=mentor), changed(COORDINATOR, contact_id=other)
    request = {"id": other, "caller": mentor, "keyless": keyless}
    record = dispatch_of(*recipients, mentor_id=mentor, request=request, retry_of="f" * 32, ended_at=NOW)
    for processed in ({}, {PAUSES_TOPIC: 3}, {PAUSES_TOPIC: 3, "other": 4}):
        _assert_agrees(structs.replace(record, seen_through=processed))
        _assert_agrees(structs.replace(record, seen_through=processed, retry_of=None))


def _assert_agrees(dispatch: Dispatch) -> None:
    value, origin, request = dispatch_json(dispatch), dispatch.origin, dispatch.request
    keyless = request is not None and request.keyless
    assert read_final(KEY, value) in {None, (bytes.fromhex(FIRST_ID), recipients_fingerprint(dispatch))}
    assert read_processed(value) in {None, processed_of(dispatch)}
    assert read_call(value) in {None, Call(dispatch.mentor_id, origin.topic, origin.offset, keyless=keyless)}


@pytest.mark.parametrize("value", [b"", b"none", b"[]", b"{}", b'{"recipients":[]}', dispatch_json(ENDED)[:-1]])
def test_nothing_is_read_from_other_bytes(value: bytes) -> None:
    """They are read in full."""
    assert read_final(b"f" * 32, value) is None
    assert read_processed(value) is None


@pytest.mark.parametrize("dispatch_id", ["F" * 32, "g" * 32, "f" * 31, "1" * 32])
def test_an_id_of_another_form_is_not_read(dispatch_id: str) -> None:
    """Nor is one of digits alone, which hardly ever occurs: such records are read in full."""
    value = dispatch_json(structs.replace(ENDED, dispatch_id=dispatch_id))

    assert read_final(dispatch_id.encode(), value) is None


def test_a_key_that_is_not_the_id_is_not_read() -> None:
    """The value says whose dispatch it is."""
    longer = dispatch_json(structs.replace(ENDED, dispatch_id=f"{FIRST_ID}0"))

    assert read_final(b"f" * 32, dispatch_json(ENDED)) is None
    assert read_final(KEY, longer) is None


def test_an_offset_of_too_many_digits_is_not_read() -> None:
    """Python refuses to read a number of thousands of digits."""
    value = dispatch_json(ENDED).replace(b'":7}', b'":' + b"7" * 5000 + b"}")

    assert read_processed(value) is None


def test_a_fingerprint_is_that_of_the_recipients_states() -> None:
    """Of two records with the same fingerprint, only one needs to be kept."""
    redelivered = ENDED.seen(PAUSES_TOPIC, 9)
    sent_again = ENDED.with_recipients([changed(SENT, send=2)])

    assert recipients_fingerprint(ENDED) == recipients_fingerprint(redelivered)
    assert recipients_fingerprint(ENDED) != recipients_fingerprint(sent_again)
    assert NO_RECIPIENTS == recipients_fingerprint(dispatch_of())
