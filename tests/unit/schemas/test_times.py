"""Instants: which texts are read, and how an instant is written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.times import (
    format_instant,
    format_seconds,
    format_with_offset,
    from_epoch_ms,
    parse_instant,
    parse_with_offset,
)

INSTANT = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-01T00:00:00Z",
        "2026-05-01t00:00:00z",
        "2026-05-01T00:00:00.000000000Z",
        "2026-05-01T02:00:00+02:00",
        "2026-04-30T18:30:00-05:30",
        "2026-05-01T00:00:00-00:00",
    ],
)
def test_every_spelling_of_an_instant_is_read_as_utc(text: str) -> None:
    """Zone, case and fraction may vary as RFC 3339 allows; the result is in UTC."""
    instant = parse_instant(text)

    assert INSTANT == instant
    assert UTC == instant.tzinfo


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2027-06-07",
        "2027-06-07T00:00:00",
        "2027-06-07 00:00:00Z",
        "2027-06-07T00:00Z",
        "1777593600",
        "10000-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2027-06-07T25:00:00Z",
        "2027-06-07T00:00:00+99:00",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "0001-12-31T23:59:59.999Z",
        "2026-06-30T12:30:60Z",
        "2026-06-30T23:59:60+02:00",
        "2026-06-30T23:59:61Z",
        "2026-06-31T23:59:60Z",
        "2026-05-01T00:00:00+24:00",
        "2027-06-07T00:00:00Z\n",
        "٢٠٢٦-06-07T00:00:00Z",
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    """It is no instant, has no zone, or is outside the years 2 to 9999. The error does not repeat it."""
    with pytest.raises(ValueError, match="must") as refused:
        parse_instant(text)

    assert not text or text not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-06-30T23:59:60Z", "2026-07-01T00:00:00Z"),
        ("2026-07-01T01:59:60+02:00", "2026-07-01T00:00:00Z"),
        ("2026-06-30T23:59:60.25Z", "2026-07-01T00:00:00.250000Z"),
        ("9999-12-31T23:59:60Z", "9999-12-31T23:59:59.999999Z"),
        ("9999-12-31T23:59:59-01:00", "9999-12-31T23:59:59.999999Z"),
        ("0002-01-01T00:00:00+23:59", "0001-12-31T00:01:00Z"),
    ],
)
def test_a_leap_second_and_the_last_moment(text: str, expected: str) -> None:
    """A leap second is the next second; an instant beyond the year 9999 in UTC is that year's last moment."""
    assert expected == format_instant(parse_instant(text)).rjust(20, "0")


@pytest.mark.parametrize(
    "text", ["2026-05-01T00:00:00+02:00", "2026-05-01T00:00:00-11:30", "2026-05-01T00:00:00.500000+05:45"]
)
def test_the_offset_is_kept(text: str) -> None:
    """It is written as it was read."""
    assert text == format_with_offset(parse_with_offset(text))


@pytest.mark.parametrize("offset", ["Z", "z", "+00:00", "-00:00"])
def test_utc_is_written_as_z(offset: str) -> None:
    """However it was written before."""
    assert "2026-05-01T00:00:00Z" == format_with_offset(parse_with_offset(f"2026-05-01T00:00:00{offset}"))


def test_an_instant_is_written_in_utc() -> None:
    """It has a fraction only if it is not a whole second."""
    berlin = datetime(2026, 5, 1, 2, 0, tzinfo=timezone(timedelta(hours=2)))

    assert "2026-05-01T00:00:00Z" == format_instant(berlin)
    assert "2026-05-01T00:00:00.250000Z" == format_instant(berlin.replace(microsecond=250_000))


def test_whole_seconds_are_rounded_down() -> None:
    """A caller never gets a time in the future."""
    assert "2026-05-01T00:00:00Z" == format_seconds(INSTANT.replace(microsecond=999_999))


def test_a_kafka_timestamp_keeps_its_milliseconds() -> None:
    """The instant is exact."""
    assert datetime(2026, 5, 1, 0, 0, 0, 7000, UTC) == from_epoch_ms(1_777_593_600_007)


@settings(deadline=None, max_examples=100)
@given(st.datetimes(min_value=datetime(2, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.timezones()))  # noqa: DTZ001 - Hypothesis adds the zone
def test_a_written_instant_is_read_back(instant: datetime) -> None:
    """This holds for any instant in any zone."""
    assert instant.astimezone(UTC) == parse_instant(format_instant(instant))


@settings(deadline=None, max_examples=100)
@given(
    st.datetimes(min_value=datetime(2, 1, 2), max_value=datetime(9999, 12, 30)),  # noqa: DTZ001 - zone is added
    st.integers(-1439, 1439),
)
def test_an_instant_written_with_its_offset_is_read_back(local: datetime, minutes: int) -> None:
    """It keeps its offset."""
    instant = local.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    back = parse_with_offset(format_with_offset(instant))

    assert instant == back
    assert instant.utcoffset() == back.utcoffset()
