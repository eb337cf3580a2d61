"""Values of options that several commands take: a time, a position, a dispatch."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

from schemas.positions import Position
from schemas.times import parse_instant

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DISPATCH_ID = re.compile(r"[0-9a-f]{32}")


def parse_when(text: str) -> datetime:
    """Parse `24h`, `90m`, `7d` (that long ago) or an RFC 3339 instant; raise a usage error for anything else."""
    if ago := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        return parse_instant(text)
    except ValueError:
        raise typer.BadParameter(
            "must be a span such as 90m, 24h or 7d, or a time such as 2026-05-01T00:00:00Z"
        ) from None


def parse_position(text: str) -> Position:
    """Parse `topic-partition-offset`; raise a usage error for anything else."""
    try:
        return Position.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def when(text: str | None) -> str | None:
    """Return the text of an option, or raise a usage error if it is no time."""
    if text is not None:
        parse_when(text)
    return text


def position(text: str | None) -> str | None:
    """Return the text of an option, or raise a usage error if it is no position."""
    if text is not None:
        parse_position(text)
    return text


def dispatch_id(text: str) -> str:
    """Return the text of an option, or raise a usage error if it is no dispatch id."""
    if not _DISPATCH_ID.fullmatch(text):
        raise typer.BadParameter("must be 32 hexadecimal digits")
    return text


def dispatch_id_or_position(text: str) -> str:
    """Return *text* if it is a dispatch id or topic-partition-offset; raise a usage error for anything else."""
    if not _DISPATCH_ID.fullmatch(text):
        try:
            Position.parse(text)
        except ValueError as error:
            raise typer.BadParameter(f"is no dispatch id (32 hexadecimal digits), and {error}") from None
    return text
