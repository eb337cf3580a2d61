"""
The four events, in one table for endpoints, codec, notices, command and documents.

The data of an event is exactly the body of its REST endpoint, so REST and Kafka share one model.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any

from msgspec import Meta
from msgspec.json import Encoder
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

from schemas.times import OffsetInstant, format_instant

PAUSES_TOPIC = "mentor.pauses.v1"
CERTIFICATIONS_TOPIC = "mentor.certifications.v1"

FACADE_SOURCE = "/pause-notifications/service"
"""The CloudEvents `source` of every facade. It is one constant, so a repeated call is the same event."""
REPLICA_SOURCE = "/pause-notifications/consumers"
"""The `source` of the events that replicas publish themselves."""
OUR_SOURCES = frozenset({FACADE_SOURCE, REPLICA_SOURCE})
"""Sources that need a signature by one of our keys."""

MAX_EVENT_BYTES = 64 * 1024
"""The largest request body or record value that is read as an event, in bytes."""

_LINE_BREAKS = frozenset("\u2028\u2029")
# The rule of `_printable` as patterns, for the published schemas. They have no anchors, look-arounds or escapes above
# \\xff, so they mean the same in every dialect. A lone surrogate cannot be written in UTF-8 and needs no pattern.
_CONTROL = "[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029]"
_NOT_BLANK = "[^\\x20\\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]"
_PRINTABLE: JsonDict = {"pattern": _NOT_BLANK, "not": {"pattern": _CONTROL}}
_PRINTABLE_TEXT = f"^[^{_CONTROL[1:-1]}]*[^{_CONTROL[1:-1]}{_NOT_BLANK[2:-1]}][^{_CONTROL[1:-1]}]*\\Z"
"""The same rule as one pattern, for msgspec."""


def _printable(text: str) -> str:
    # isprintable() is stricter than this rule and much faster; most texts pass it and need no second check.
    if not text.isprintable() and any(
        unicodedata.category(character) in {"Cc", "Cs"} or character in _LINE_BREAKS for character in text
    ):
        raise ValueError("must not hold control characters")
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _whole(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ValueError("must be a whole number")
    return int(value)


ContactId = Annotated[
    str,
    Field(min_length=1, max_length=128, json_schema_extra=_PRINTABLE),
    AfterValidator(_printable),
    Meta(min_length=1, max_length=128, pattern=_PRINTABLE_TEXT),
]
"""A contact's id: 1 to 128 characters, not blank, without control characters."""

ShortText = Annotated[
    str,
    Field(min_length=1, max_length=500, json_schema_extra=_PRINTABLE),
    AfterValidator(_printable),
]
"""A line of text for people: 1 to 500 characters, not blank, without control characters."""


class EventData(BaseModel):
    """The data of every event."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    mentor_id: ContactId = Field(description="The mentor whom the event is about, and the record's key.")


class PauseActivated(EventData):
    """A mentor's pause is activated."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "mentor_id": "mentor-042",
                    "expected_return_date": "2026-05-01T00:00:00Z",
                    "pause_reason": "personal_leave",
                }
            ]
        }
    )

    expected_return_date: OffsetInstant = Field(description="When the mentor is expected back; past dates are legal.")
    pause_reason: ShortText = Field(
        description="Why the mentor pauses. The coordinator sees only codes that the operator allows."
    )


class PauseLifted(EventData):
    """A mentor's pause is lifted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"mentor_id": "mentor-042"}]})


class CertificationExpired(EventData):
    """A mentor's certification has expired."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"mentor_id": "mentor-042", "expiry_date": "2026-03-31T00:00:00Z"}]}
    )

    expiry_date: OffsetInstant = Field(description="When the certification expired.")


class CertificationExpiring(EventData):
    """A mentor's certification will expire: the advance warning."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"mentor_id": "mentor-042", "days_remaining": 14}]})

    days_remaining: Annotated[int, BeforeValidator(_whole)] = Field(
        ge=0, le=3650, description="Whole days from the event to the expiry."
    )


class Cause(StrEnum):
    """Why a mentor's e-mail did not reach them."""

    BOUNCED = "bounced"
    REFUSED = "refused"
    SUPPRESSED = "suppressed"


class NoticeUndelivered(EventData):
    """A mentor could not be reached by a notice: the escalation to the coordinator, which a replica publishes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"mentor_id": "mentor-042", "notice": "mentor.pause.activated.v1", "cause": "bounced"}]
        }
    )

    notice: ShortText = Field(description="The type of the event whose e-mail did not arrive.")
    cause: Cause = Field(description="Why it did not arrive.")


class Role(StrEnum):
    """Why a contact is notified."""

    MENTOR = "mentor"
    COORDINATOR = "coordinator"


def _reminder_ends(data: EventData, since: datetime) -> datetime | None:
    """Return the last instant at which a reminder is true: the end of the day of expiry."""
    if not isinstance(data, CertificationExpiring):
        return None
    return since + timedelta(days=data.days_remaining + 1)


def _never_ends(_data: EventData, _since: datetime) -> datetime | None:
    return None


DataModel = type[EventData]


@dataclass(frozen=True)
class EventType:
    """One row of the table of events."""

    name: str
    """The endpoint's and the command's name for it."""
    type: str
    """The CloudEvents type."""
    topic: str
    model: DataModel
    roles: tuple[Role, ...]
    """Who is notified, in the order of the REST answer."""
    summary: str
    true_until: Callable[[EventData, datetime], datetime | None] = _never_ends
    """Return from the data and the event's instant until when its e-mail is true, or None."""

    @property
    def example(self) -> dict[str, Any]:
        """Return the contract's example of the data, with its fields in the contract's order."""
        example: dict[str, Any] = self.model.model_json_schema()["examples"][0]
        return {name: example[name] for name in self.model.model_fields}


EVENTS: tuple[EventType, ...] = (
    EventType(
        name="pause-activated",
        type="mentor.pause.activated.v1",
        topic=PAUSES_TOPIC,
        model=PauseActivated,
        roles=(Role.MENTOR, Role.COORDINATOR),
        summary="A mentor pause is activated",
    ),
    EventType(
        name="pause-lifted",
        type="mentor.pause.lifted.v1",
        topic=PAUSES_TOPIC,
        model=PauseLifted,
        roles=(Role.MENTOR, Role.COORDINATOR),
        summary="A mentor pause is lifted",
    ),
    EventType(
        name="cert-expiry",
        type="mentor.certification.expired.v1",
        topic=CERTIFICATIONS_TOPIC,
        model=CertificationExpired,
        roles=(Role.MENTOR, Role.COORDINATOR),
        summary="A mentor's certification has expired",
    ),
    EventType(
        name="cert-expiry-reminder",
        type="mentor.certification.expiring.v1",
        topic=CERTIFICATIONS_TOPIC,
        model=CertificationExpiring,
        roles=(Role.MENTOR,),
        summary="A mentor's certification will expire: advance warning",
        true_until=_reminder_ends,
    ),
)

UNDELIVERED = EventType(
    name="notice-undelivered",
    type="mentor.notice.undelivered.v1",
    topic=PAUSES_TOPIC,
    model=NoticeUndelivered,
    roles=(Role.COORDINATOR,),
    summary="A mentor could not be reached",
)
"""The event that only replicas publish: it has no endpoint, and needs a signature."""

ALL_EVENTS: tuple[EventType, ...] = (*EVENTS, UNDELIVERED)
EVENTS_BY_TYPE: Mapping[str, EventType] = {event.type: event for event in ALL_EVENTS}
EVENTS_BY_NAME: Mapping[str, EventType] = {event.name: event for event in EVENTS}
EVENT_TOPICS: tuple[str, ...] = tuple(dict.fromkeys(event.topic for event in EVENTS))


@dataclass(frozen=True)
class Event:
    """One CloudEvent of a known type with valid data."""

    kind: EventType
    id: str
    source: str
    data: EventData
    time: datetime | None = None
    """When it happened, as the producer wrote it and in its offset; None if missing or unreadable."""
    unknown_fields: tuple[str, ...] = ()
    """Names of unknown data fields; they are ignored, but counted."""
    time_unreadable: bool = False
    """Whether the producer wrote an unreadable time; the event is valid without it."""

    @property
    def mentor_id(self) -> str:
        """Return the id of the mentor whom the event is about."""
        return self.data.mentor_id

    @property
    def needs_proof(self) -> bool:
        """Return whether only our programs may publish it, so that one of our keys must have signed its record."""
        return self.source in OUR_SOURCES or self.kind is UNDELIVERED

    @cached_property
    def dispatch_id(self) -> str:
        """Return the id of the dispatch that follows from this event."""
        return dispatch_id(self.source, self.id, self.mentor_id)

    @cached_property
    def digest(self) -> str:
        """Return the digest of the content; equal digests mean equal content."""
        return digest(self.kind, self.data)

    def happened_at(self, appended_at: datetime) -> datetime:
        """
        Return when the event happened: the producer's time or the original append time, whichever is earlier.

        The result is in the offset that the producer wrote. So a producer whose clock is a second ahead of the
        broker's still means its own calendar day.
        """
        if self.time is None:
            return appended_at
        return min(self.time, appended_at.astimezone(self.time.tzinfo))

    def true_until(self, appended_at: datetime) -> datetime | None:
        """Return the instant until which its e-mails are true, or None if they always are."""
        return self.kind.true_until(self.data, self.happened_at(appended_at))


def dispatch_id(source: str, event_id: str, mentor_id: str) -> str:
    """Return the first 32 hex digits of SHA-256 over source, NUL, id, NUL, mentor id."""
    identity = f"{source}\0{event_id}\0{mentor_id}"
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def digest(kind: EventType, data: EventData) -> str:
    """
    Return SHA-256 (hex) of type and data as canonical JSON.

    Keys are sorted, there are no blanks, times are UTC instants; missing and unknown fields are left out.
    """
    fields = data.model_dump(exclude_unset=True).items()
    instants_in_utc = {name: format_instant(value) if isinstance(value, datetime) else value for name, value in fields}
    canonical = {"type": kind.type, "data": instants_in_utc}
    return hashlib.sha256(_CANONICAL.encode(canonical)).hexdigest()


_CANONICAL = Encoder(order="sorted")


def unknown_fields(model: DataModel, raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the sorted names in *raw* that are no fields of *model*."""
    return tuple(sorted(raw.keys() - model.model_fields.keys()))
