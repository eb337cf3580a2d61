"""Read and write RFC 3339 instants, and the contract's two types of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from msgspec import Meta
from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

# RFC 3339 section 5.6. A zone is required, since a naive time is another instant in every reader's zone. The year 1 is
# refused: Go and .NET write it for a time that was never set. It has no look-arounds, so any dialect reads it.
_YEAR = "([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[2-9])"
_DATE = f"{_YEAR}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]{1,9})?"
_ZONE = "([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
RFC_3339 = f"^{_DATE}[Tt]{_TIME}{_ZONE}$"
"""The form of an instant, also for the published schemas. Their format `date-time` checks the calendar."""

_RFC_3339 = re.compile(f"{_DATE}[Tt]{_TIME}{_ZONE}")
_NEXT_SECOND = ":60"
_SECONDS = slice(16, 19)
_LAST = datetime.max.replace(tzinfo=UTC)
_NO_DATE_TIME = "must be an RFC 3339 date-time with a zone, such as 2026-05-01T00:00:00Z"
_NO_SUCH_TIME = "must be a date and a time of day that exist, such as 2026-05-01T00:00:00Z"
_YEAR_1 = "must not be in the year 1, which stands for a time that was never set"


def parse_instant(text: str) -> datetime:
    """
    Return an RFC 3339 date-time as an aware UTC datetime.

    Raises:
        ValueError: if *text* is not an RFC 3339 date-time with a zone, or is in the year 1. It is not repeated.
    """
    return parse_with_offset(text).astimezone(UTC)


def parse_with_offset(text: str) -> datetime:
    """
    Return an RFC 3339 date-time as an aware datetime in its own offset.

    An instant beyond the year 9999 in UTC becomes the last moment of that year.

    Raises:
        ValueError: as `parse_instant` does.
    """
    if not _RFC_3339.fullmatch(text):
        raise ValueError(_YEAR_1 if text.startswith("0001-") else _NO_DATE_TIME)
    leap = text[_SECONDS] == _NEXT_SECOND
    if leap:
        text = f"{text[: _SECONDS.start]}:59{text[_SECONDS.stop :]}"
    try:
        instant = datetime.fromisoformat(text.upper())
    except ValueError:
        # Python's message repeats the value, which must not reach a log or a dead letter's header.
        raise ValueError(_NO_SUCH_TIME) from None
    try:
        in_utc = instant.astimezone(UTC)
        if leap and (in_utc.hour, in_utc.minute) != (23, 59):
            raise ValueError(_NO_SUCH_TIME)
        return instant + timedelta(seconds=1) if leap else instant
    except OverflowError:
        return _LAST


def format_instant(instant: datetime) -> str:
    """Return an aware datetime as RFC 3339 in UTC with `Z`, with a fraction only if it has one."""
    return instant.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def format_with_offset(instant: datetime) -> str:
    """Return an aware datetime as RFC 3339 in its own offset; UTC is written as `Z`."""
    return instant.isoformat() if instant.utcoffset() else format_instant(instant)


def format_seconds(instant: datetime) -> str:
    """Return an aware datetime as RFC 3339 in UTC with `Z`, rounded down to whole seconds."""
    return format_instant(instant.replace(microsecond=0))


def from_epoch_ms(milliseconds: int) -> datetime:
    """Return the UTC datetime of a Kafka timestamp (milliseconds since the epoch)."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(microsecond=milliseconds % 1000 * 1000)


def _with_offset(value: Any) -> datetime:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    if not isinstance(value, str):
        raise ValueError("must be an RFC 3339 date-time as a string, such as 2026-05-01T00:00:00Z")  # noqa: TRY004 - pydantic reports ValueErrors
    return parse_with_offset(value)


def _in_utc(value: Any) -> datetime:
    return _with_offset(value).astimezone(UTC)


_SCHEMA = WithJsonSchema(
    {
        "type": "string",
        "format": "date-time",
        "pattern": RFC_3339,
        "not": {"pattern": r"\s"},  # in some dialects `$` also matches before a final line break
        "examples": ["2026-05-01T00:00:00Z"],
    }
)

Instant = Annotated[
    datetime,
    BeforeValidator(_in_utc),
    PlainSerializer(format_instant, return_type=str, when_used="json"),
    _SCHEMA,
    Meta(tz=True),
]
"""An instant: RFC 3339 with a zone in JSON, an aware UTC datetime in memory."""

OffsetInstant = Annotated[
    datetime,
    BeforeValidator(_with_offset),
    PlainSerializer(format_with_offset, return_type=str, when_used="json"),
    _SCHEMA,
]
"""An instant that keeps its offset: midnight in that offset means a calendar date to every reader."""
