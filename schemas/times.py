"""The one RFC 3339 instant type of the contract, and how an instant is written."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, PlainSerializer, TypeAdapter, ValidationError, WithJsonSchema

# RFC 3339 section 5.6; a zone is asked for, since a naive time is another instant in every reader's zone.
_RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_AWARE: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


def parse_instant(text: str) -> datetime:
    """
    Read an RFC 3339 date-time as an aware UTC datetime.

    Raises:
        ValueError: where *text* is no RFC 3339 date-time with a zone, or lies outside years 1 to 9999 in UTC.
    """
    if not _RFC_3339.fullmatch(text):
        raise ValueError("must be an RFC 3339 date-time with a zone, such as 2026-05-01T00:00:00Z")
    try:
        instant = _AWARE.validate_python(text.upper())
    except ValidationError:
        # pydantic's own text repeats the value, which is to reach no log and no dead letter's header.
        raise ValueError("must be a date and a time of day that exist, such as 2026-05-01T00:00:00Z") from None
    return _to_utc(instant)


def format_instant(instant: datetime) -> str:
    """Write an aware datetime as RFC 3339 in UTC with `Z`, with a fraction only where it has one."""
    return instant.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def format_seconds(instant: datetime) -> str:
    """Write an aware datetime as RFC 3339 in UTC with `Z`, in whole seconds (rounded down)."""
    return format_instant(instant.replace(microsecond=0))


def from_epoch_ms(milliseconds: int) -> datetime:
    """Give the UTC datetime of a Kafka timestamp (milliseconds since the epoch)."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(microsecond=milliseconds % 1000 * 1000)


def _to_utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must lie in the years 1 to 9999 in UTC") from error


def _instant(value: Any) -> datetime:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return _to_utc(value)
    if not isinstance(value, str):
        raise ValueError("must be an RFC 3339 date-time as a string, such as 2026-05-01T00:00:00Z")  # noqa: TRY004 - pydantic reports ValueErrors
    return parse_instant(value)


Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    PlainSerializer(format_instant, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-05-01T00:00:00Z"]}),
]
"""An instant: RFC 3339 with a zone on the wire, an aware UTC datetime in memory."""
