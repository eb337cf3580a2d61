"""Dead letters have all that a person needs, and fit into a record."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import headers as names
from schemas.cloudevents import NotAnEventReason
from schemas.dead_letters import MAX_VALUE_BYTES, DeadLetter, DeadLetterReason, from_record, to_record
from schemas.dispatch import Dispatch
from schemas.headers import Headers, header
from tests.unit.dispatches import ORIGIN, dispatches

_BROKER_TAKES = 900 * 1024


def letter_of(
    *, key: bytes | None = b"mentor-042", value: bytes | None = b"{}", headers: Headers = (), detail: str = ""
) -> DeadLetter:
    """Return a dead letter."""
    return DeadLetter(NotAnEventReason.NOT_JSON, ORIGIN, key, value, list(headers), detail)


def size_of(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Return the size of a record in bytes."""
    return len(key or b"") + len(value or b"") + sum(len(n.encode()) + len(v or b"") for n, v in headers)


@settings(deadline=None, max_examples=100)
@given(
    reason=st.sampled_from([*DeadLetterReason, *NotAnEventReason]),
    key=st.none() | st.binary(max_size=20),
    value=st.binary(max_size=50),
    headers=st.lists(
        st.tuples(st.text(max_size=9).map(lambda n: f"ce_{n}"), st.none() | st.binary(max_size=9)), max_size=4
    ),
    detail=st.text(max_size=40, alphabet=st.characters(exclude_categories=["Cs"])),
    dispatch=st.none() | dispatches(),
)
def test_a_written_letter_is_read_back_unchanged(
    reason: DeadLetterReason | NotAnEventReason,
    key: bytes | None,
    value: bytes,
    headers: list[tuple[str, bytes | None]],
    detail: str,
    dispatch: Dispatch | None,
) -> None:
    """It keeps reason, origin, detail and dispatch, and the original's key, value and headers."""
    letter = DeadLetter(reason, ORIGIN, key, value, headers, detail, dispatch)

    assert letter == from_record(*to_record(letter))


def test_a_letter_for_a_range_is_read_back_unchanged() -> None:
    """It keeps its last offset and its number of records."""
    letter = replace(letter_of(), last_offset=ORIGIN.offset + 999, records=500)

    assert letter == from_record(*to_record(letter))


@pytest.mark.parametrize("forged", ["-1", "x", "9" * 5000, "\u0663", ""])
def test_invalid_numbers_of_a_range_are_ignored(forged: str) -> None:
    """The letter then stands for one record."""
    key, value, headers = to_record(letter_of())

    found = from_record(key, value, [*headers, (names.LAST_OFFSET, forged.encode()), (names.RECORDS, forged.encode())])

    assert letter_of() == found


def test_a_null_value_under_a_key_stays_null() -> None:
    """The original is not changed."""
    assert (b"mentor-042", None) == to_record(letter_of(value=None))[:2]


def test_a_record_without_key_and_value_can_be_written() -> None:
    """Kafka needs one of them, so the value becomes empty."""
    key, value, headers = to_record(letter_of(key=None, value=None))

    assert key is None
    assert b"" == value
    assert from_record(key, value, headers) is not None


def test_a_large_value_is_truncated_with_its_length_and_hash() -> None:
    """A value over 256 KiB is cut there; headers have the full value's length and SHA-256."""
    whole = b"x" * MAX_VALUE_BYTES + b"y"

    _, value, headers = to_record(letter_of(value=whole))

    assert whole[:MAX_VALUE_BYTES] == value
    assert str(len(whole)).encode() == header(headers, names.VALUE_LENGTH)
    assert hashlib.sha256(whole).hexdigest().encode() == header(headers, names.VALUE_SHA256)


def test_a_value_at_the_limit_is_not_truncated() -> None:
    """Nothing is lost, so there is no header for a length."""
    _, value, headers = to_record(letter_of(value=b"x" * MAX_VALUE_BYTES))

    assert MAX_VALUE_BYTES == len(value or b"")
    assert header(headers, names.VALUE_LENGTH) is None


def test_the_largest_record_still_fits_into_a_dead_letter() -> None:
    """Even the largest key, value, headers and detail together make a record that the broker accepts."""
    headers = [("big", b"h" * 500_000), *((f"h{n}", b"v" * 1000) for n in range(400))]
    letter = letter_of(key=b"k" * 500_000, value=b"v" * 1_000_000, headers=headers, detail="d" * 100_000)

    assert size_of(*to_record(letter)) < _BROKER_TAKES


def test_only_too_large_a_header_is_left_out() -> None:
    """The other headers are kept: they tell what the record was."""
    letter = letter_of(headers=[("big", b"h" * 100_000), ("ce_id", b"1"), (names.REQUEST_ID, b"r-1")])

    again = from_record(*to_record(letter))

    assert again is not None
    assert [("ce_id", b"1"), (names.REQUEST_ID, b"r-1")] == again.headers


def test_a_long_detail_is_cut_between_characters() -> None:
    """A detail has at most 1 KiB, and what remains is valid UTF-8."""
    again = from_record(*to_record(letter_of(detail="x" + "ü" * 1000)))

    assert again is not None
    assert "x" + "ü" * 511 == again.detail


def test_a_dead_letter_of_a_dead_letter_has_one_reason() -> None:
    """Our own headers on the original are replaced by the new ones."""
    _, _, headers = to_record(letter_of(headers=[(names.REASON, b"failed"), (names.ORIGIN, b"x-1-1")]))

    assert [b"not_json"] == [value for name, value in headers if name == names.REASON]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (names.REASON, None),
        (names.REASON, b"something_else"),
        (names.REASON, b"\xff"),
        (names.ORIGIN, None),
        (names.ORIGIN, b"nowhere"),
        (names.ORIGIN, b"topic-x-1"),
        (names.ORIGIN_APPENDED_AT, None),
        (names.ORIGIN_APPENDED_AT, b"yesterday"),
    ],
)
def test_an_invalid_dead_letter_is_none(name: str, value: bytes | None) -> None:
    """A dead letter needs a known reason, an origin and a time."""
    key, content, headers = to_record(letter_of())
    broken = [(known, value if known == name else text) for known, text in headers]

    assert from_record(key, content, broken) is None
