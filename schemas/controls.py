"""
Controls: what an operator puts in force for all replicas at once, who did, when and why.

The topic is compacted and has one partition. A key names what is controlled, so the last record of a key says whether
it is in force. A record that lifts a control says who lifted it, which a null value could not.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace
from pydantic import Field

from schemas.times import Instant, parse_instant

CONTROLS_TOPIC = "pause-notifications.controls.v1"
MAX_CONTROL_BYTES = 16 * 1024
MAX_TEXT = 256
"""How many characters a reason and an operator's name have at most."""
MAX_SOURCE = 512
"""As many as the source of an event has at most."""

LogLevel = Literal["debug", "info", "warning", "error"]


class ControlKind(StrEnum):
    """What a control does."""

    SENDING_STOPPED = "sending_stopped"
    SOURCE_HELD = "source_held"
    CANCEL = "cancel"
    LOG_LEVEL = "log_level"


_Text = Annotated[str, Meta(max_length=MAX_TEXT), Field(max_length=MAX_TEXT)]
_Source = Annotated[str, Meta(min_length=1, max_length=MAX_SOURCE), Field(min_length=1, max_length=MAX_SOURCE)]
_Id = Annotated[str, Meta(pattern="^[0-9a-f]{8}$"), Field(pattern="^[0-9a-f]{8}$")]


class Control(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A control that is in force, or that was lifted."""

    kind: ControlKind
    by: Annotated[_Text, Field(description="Who put it in force, or lifted it.")]
    at: Annotated[Instant, Field(description="When. Of a cancel: events appended later are not cancelled.")]
    reason: Annotated[_Text, Field(description="Why, in the person's own words.")]
    lifted: bool = False
    until: Annotated[Instant | None, Field(description="When it ends by itself. None: when it is lifted.")] = None
    source: Annotated[_Source | None, Field(description="The `source` of the events that it concerns.")] = None
    id: Annotated[_Id | None, Field(description="Of a cancel: its id.")] = None
    event_type: Annotated[_Text | None, Field(description="Of a cancel: the `type` of its events. None: all.")] = None
    since: Annotated[Instant | None, Field(description="Of a cancel: events appended earlier are not cancelled.")] = (
        None
    )
    level: Annotated[LogLevel | None, Field(description="Of a log level: the lowest that is logged.")] = None

    @property
    def key(self) -> bytes:
        """Return the key of its record."""
        named = {ControlKind.SOURCE_HELD: self.source, ControlKind.CANCEL: self.id}.get(self.kind)
        return _key(self.kind, named)

    @staticmethod
    def key_of_hold(source: str) -> bytes:
        """Return the key of the control that holds a source."""
        return _key(ControlKind.SOURCE_HELD, source)

    @property
    def complete(self) -> bool:
        """Return whether it has what its kind needs."""
        match self.kind:
            case ControlKind.SENDING_STOPPED:
                return True
            case ControlKind.SOURCE_HELD:
                return self.source is not None
            case ControlKind.CANCEL:
                return None not in (self.source, self.id, self.since)
            case ControlKind.LOG_LEVEL:
                return self.level is not None and self.until is not None

    def is_in_force(self, now: datetime) -> bool:
        """Return whether it applies now."""
        return not self.lifted and (self.until is None or now < self.until)

    def cancels(self, source: str, event_type: str, appended_at: datetime) -> bool:
        """Return whether it is a cancel of an event."""
        return (
            self.kind is ControlKind.CANCEL
            and self.source == source
            and self.event_type in (None, event_type)
            and self.since is not None
            and self.since <= appended_at <= self.at
        )


def _key(kind: ControlKind, named: str | None) -> bytes:
    return kind.value.encode() if named is None else f"{kind.value}:{named}".encode(errors="surrogatepass")


def control_json(control: Control) -> bytes:
    """Write a control as the value of its record."""
    return _ENCODER.encode(control)


def parse_control(key: bytes | None, value: bytes | None) -> Control | None:
    """Read a control from a record, or return None if it is none, or not the one that its key names."""
    if value is None or len(value) > MAX_CONTROL_BYTES:
        return None
    try:
        found = _in_utc(_DECODER.decode(value))
    except (ValueError, RecursionError):
        return None
    return found if found.complete and found.key == key else None


def _in_utc(control: Control) -> Control:
    def utc(instant: datetime | None) -> datetime | None:
        return None if instant is None else parse_instant(instant.isoformat())

    return replace(control, at=utc(control.at), until=utc(control.until), since=utc(control.since))


_DECODER = msgspec.json.Decoder(Control)
_ENCODER = msgspec.json.Encoder()
