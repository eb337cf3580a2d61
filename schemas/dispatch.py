"""
The dispatch: everything that follows from one event, how its record is written, and how two records merge.

A dispatch is the reply that a facade waits for, the history of the event, and what a replica remembers of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace
from pydantic import Field, WithJsonSchema

from schemas.events import ContactId, Event, Role
from schemas.positions import Position
from schemas.times import Instant, parse_instant

DISPATCHES_TOPIC = "pause-notifications.dispatches.v1"
_ID = re.compile(rb"[0-9a-f]{32}")


class Status(StrEnum):
    """The state of one recipient."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"

    @property
    def final(self) -> bool:
        """Return whether the service will do nothing more by itself."""
        return self is not Status.PENDING and self is not Status.SENDING

    @classmethod
    def _missing_(cls, value: object) -> Status | None:
        """Read a newer release's status as `unknown`: this release cannot know whether the e-mail was sent."""
        return cls.UNKNOWN if isinstance(value, str) else None


class Reason(StrEnum):
    """Why a recipient has its status: a stable code that callers may read."""

    UNKNOWN_CONTACT = "unknown_contact"
    INVALID_CONTACT = "invalid_contact"
    NO_ADDRESS = "no_address"
    NOT_RENDERABLE = "not_renderable"
    MESSAGE_REJECTED = "message_rejected"
    BAD_REQUEST = "bad_request"
    RECIPIENT_NOT_VERIFIED = "recipient_not_verified"
    RECIPIENT_NOT_ALLOWED = "recipient_not_allowed"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    ANSWER_LOST = "answer_lost"
    TOO_LATE = "too_late"
    THROTTLED = "throttled"
    HALTED = "halted"
    NOT_ACCEPTED = "not_accepted"
    NOT_CALLED = "not_called"
    REOPENED = "reopened"
    SENT_EARLIER = "sent_earlier"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    UNREACHABLE = "unreachable"
    MANUAL = "manual"
    CANCELLED = "cancelled"
    NOT_ALLOWED_HERE = "not_allowed_here"

    @classmethod
    def _missing_(cls, value: object) -> Reason | None:
        """Keep a newer release's code as it is: after a roll-back its record must stay readable."""
        if not isinstance(value, str):
            return None
        newer = str.__new__(cls, value)
        newer._name_ = newer._value_ = value
        return newer


def _open_codes(codes: type[StrEnum]) -> WithJsonSchema:
    """Return a schema that names today's codes and accepts any other, since a newer release may add some."""
    return WithJsonSchema(
        {
            "anyOf": [{"enum": [code.value for code in codes]}, {"type": "string"}],
            "description": "A stable code. More may be added: treat one that you do not know as the general case.",
        }
    )


_RANK: Mapping[Status, int] = {
    status: rank
    for rank, status in enumerate(
        (Status.SENDING, Status.PENDING, Status.EXPIRED, Status.SUPPRESSED, Status.UNKNOWN, Status.FAILED)
    )
}


_ROLE_RANK: Mapping[Role, int] = {role: rank for rank, role in enumerate(Role)}
_Count = Annotated[int, Meta(ge=0), Field(ge=0)]


class Recipient(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One contact of a dispatch."""

    contact_id: ContactId
    role: Role
    status: Annotated[Status, _open_codes(Status)] = Status.PENDING
    reason: Annotated[Reason, _open_codes(Reason)] | None = None
    field: Annotated[str | None, Field(description="Of an `invalid_contact`: the field that is wrong.")] = None
    message_id: Annotated[str | None, Field(description="The provider's own id, once it accepted the e-mail.")] = None
    at: Annotated[Instant | None, Field(description="When the status came about.")] = None
    round: Annotated[_Count, Field(description="How often it was reopened.")] = 0
    send: Annotated[_Count, Field(description="How often it was `sending`.")] = 0
    attempts: Annotated[_Count, Field(description="How many failures of this round were charged to it.")] = 0
    answers_lost: Annotated[_Count, Field(description="How many answers of this round were lost.")] = 0

    @property
    def precedence(self) -> tuple[bool, int, bool, int, int]:
        """Order the states of one recipient: the greater of two is the truth; of equals, the first in the log."""
        if self.status is Status.SENT:
            return (True, 0, True, 0, 0)  # if both were sent the first counts, since a caller may have been told of it
        return (False, self.round, self.status.final, self.send, _RANK[self.status])


class Origin(Struct, frozen=True, kw_only=True):
    """Where an event is stored in Kafka."""

    topic: str
    partition: int
    offset: int
    appended_at: Instant

    @property
    def position(self) -> Position:
        """Return topic, partition and offset."""
        return Position(self.topic, self.partition, self.offset)


class Request(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The REST call that brought an event."""

    id: str
    caller: str
    keyless: bool = False


class Dispatch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that follows from one event, and its current state."""

    dispatch_id: str
    event_type: str
    mentor_id: ContactId
    digest: str
    origin: Origin
    request: Request | None = None
    recipients: tuple[Recipient, ...] = ()
    unknown_mentor: bool = False
    retry_of: Annotated[
        str | None, Field(description="The dispatch that a caller's repeated call was answered from.")
    ] = None
    ended_at: Annotated[Instant | None, Field(description="When it became final.")] = None
    seen_through: Annotated[
        Mapping[str, int], Field(description="By topic: the offset of the event's last processed delivery.")
    ] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, event: Event, origin: Origin, request: Request | None = None) -> Dispatch:
        """Return the dispatch of an event before anything is decided."""
        return cls(
            dispatch_id=event.dispatch_id,
            event_type=event.kind.type,
            mentor_id=event.mentor_id,
            digest=event.digest,
            origin=origin,
            request=request,
        )

    @property
    def final(self) -> bool:
        """Return whether the service will do nothing more by itself."""
        if self.recipients:
            return all(recipient.status.final for recipient in self.recipients)
        return self.unknown_mentor

    @property
    def dispatched_at(self) -> datetime:
        """Return when the last recipient became final; if none is, when the event was appended."""
        outcomes = [r.at for r in self.recipients if r.at is not None and r.status.final]
        return max(outcomes, default=self.origin.appended_at)

    def with_recipients(self, recipients: Iterable[Recipient]) -> Dispatch:
        """Return the dispatch with new states of some recipients; their order stays."""
        by_id = {recipient.contact_id: recipient for recipient in recipients}
        return replace(self, recipients=tuple(by_id.get(r.contact_id, r) for r in self.recipients))

    def seen(self, topic: str, offset: int, *, ended_at: datetime | None = None) -> Dispatch:
        """Return the dispatch after the delivery at *offset* of *topic* was processed; set when it ended, if given."""
        through = {**self.seen_through, topic: max(offset, self.seen_through.get(topic, -1))}
        return replace(self, seen_through=through, ended_at=ended_at or self.ended_at)

    def has_seen(self, topic: str, offset: int) -> bool:
        """Return whether the delivery at *offset* of *topic* was processed before."""
        return offset <= self.seen_through.get(topic, -1)


class Verdict(StrEnum):
    """The outcome of a whole dispatch, as a caller sees it."""

    PENDING = "pending"
    ENDED = "ended"
    UNDELIVERABLE = "undeliverable"
    NOT_DELIVERED = "not_delivered"
    UNKNOWN_MENTOR = "unknown_mentor"


def verdict(dispatch: Dispatch) -> Verdict:
    """
    Return the outcome of a dispatch.

    `ENDED`: all recipients are final, and at least one did not fail. `NOT_DELIVERED`: all failed, at least one after
    too many attempts, so a later try may succeed. `UNDELIVERABLE`: all failed for good.
    """
    if not dispatch.final:
        return Verdict.PENDING
    if not dispatch.recipients:
        return Verdict.UNKNOWN_MENTOR
    if any(recipient.status is not Status.FAILED for recipient in dispatch.recipients):
        return Verdict.ENDED
    exhausted = any(recipient.reason is Reason.ATTEMPTS_EXHAUSTED for recipient in dispatch.recipients)
    return Verdict.NOT_DELIVERED if exhausted else Verdict.UNDELIVERABLE


def fold(first: Dispatch, later: Dispatch) -> Dispatch:
    """
    Merge two records of one dispatch; *first* is the earlier one in the log.

    For each recipient the state of greater precedence wins, so a late write of a former owner does no harm. A merge
    is associative and idempotent; the log's order decides only between equals. A recipient that only one record names
    is kept, since dropping it could lose a sent e-mail.
    """
    recipients = _fold_recipients(first.recipients, later.recipients)
    topics = {*first.seen_through, *later.seen_through}
    return replace(
        first,
        recipients=recipients,
        unknown_mentor=not recipients and (first.unknown_mentor or later.unknown_mentor),
        request=first.request or later.request,
        retry_of=first.retry_of or later.retry_of,
        ended_at=max((at for at in (first.ended_at, later.ended_at) if at is not None), default=None),
        seen_through={
            topic: max(first.seen_through.get(topic, -1), later.seen_through.get(topic, -1)) for topic in topics
        },
    )


def _fold_recipients(first: tuple[Recipient, ...], later: tuple[Recipient, ...]) -> tuple[Recipient, ...]:
    by_id = {recipient.contact_id: recipient for recipient in first}
    for recipient in later:
        known = by_id.get(recipient.contact_id)
        if known is None or recipient.precedence > known.precedence:
            by_id[recipient.contact_id] = recipient
    return tuple(sorted(by_id.values(), key=lambda recipient: _ROLE_RANK[recipient.role]))


def dispatch_json(dispatch: Dispatch) -> bytes:
    """Write a dispatch as the value of its record."""
    return _ENCODER.encode(dispatch)


def dispatch_id_of(key: bytes | None) -> str | None:
    """Return the dispatch id that is the key of a record. It is known even if the value is unreadable."""
    return key.decode() if key is not None and _ID.fullmatch(key) else None


MAX_DISPATCH_BYTES = 64 * 1024
"""Far more than any dispatch needs. JSON of brackets alone takes two hundred times its bytes while it is parsed."""


def parse_dispatch(value: bytes | None) -> Dispatch | None:
    """
    Read a dispatch from a record's value, or return None if it is none.

    A newer release's record may have codes that are unknown here. A reason is kept as it is. A status is read as
    `unknown`, which is final: nothing is sent if a newer release may have sent it.
    """
    if value is None or len(value) > MAX_DISPATCH_BYTES:
        return None
    try:
        return _in_utc(_DECODER.decode(value))
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, as is the one for text that is not UTF-8
        return None


def _in_utc(dispatch: Dispatch) -> Dispatch:
    """Return the dispatch with its instants in UTC; raise ValueError if one is outside the contract."""
    origin = dispatch.origin
    instants = [origin.appended_at, dispatch.ended_at, *(recipient.at for recipient in dispatch.recipients)]
    if all(at is None or (at.tzinfo is UTC and at.year > 1) for at in instants):
        return dispatch  # as every release writes them
    return replace(
        dispatch,
        origin=replace(origin, appended_at=parse_instant(origin.appended_at.isoformat())),
        recipients=tuple(replace(one, at=one.at and parse_instant(one.at.isoformat())) for one in dispatch.recipients),
        ended_at=dispatch.ended_at and parse_instant(dispatch.ended_at.isoformat()),
    )


_DECODER = msgspec.json.Decoder(Dispatch)
_ENCODER = msgspec.json.Encoder()
