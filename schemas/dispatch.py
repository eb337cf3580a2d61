"""
The dispatch: all that one event leads to, and its record; how copies of it fold into one.

A dispatch is at once the reply that a facade waits for, the history, and the memory that a replica reads back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from schemas.events import ContactId, Role
from schemas.times import Instant

DISPATCHES_TOPIC = "pause-notifications.dispatches.v1"
_ID = re.compile(rb"[0-9a-f]{32}")


class Status(StrEnum):
    """Where one recipient stands."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"

    @property
    def final(self) -> bool:
        """Return whether nothing more happens by itself."""
        return self not in {Status.PENDING, Status.SENDING}


class Reason(StrEnum):
    """Why a recipient stands where it stands: a stable code that callers may read."""

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

    @classmethod
    def _missing_(cls, value: object) -> Reason | None:
        """Keep a newer release's code, read after a roll-back, as it is: it must not make its record unreadable."""
        if not isinstance(value, str):
            return None
        newer = str.__new__(cls, value)
        newer._name_ = newer._value_ = value
        return newer


def _open_codes(codes: type[StrEnum]) -> WithJsonSchema:
    """Return a schema of codes that a newer release may add to: it names those of today and refuses no other."""
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
_STATUSES = frozenset(Status)


def _readable_status(status: Any) -> Any:
    """Read a newer release's status as `unknown`: whether that contact had mail is not to be guessed."""
    return Status.UNKNOWN if isinstance(status, str) and status not in _STATUSES else status


class Recipient(BaseModel):
    """One contact of a dispatch."""

    model_config = ConfigDict(frozen=True)

    contact_id: ContactId
    role: Role
    status: Annotated[Status, BeforeValidator(_readable_status), _open_codes(Status)] = Status.PENDING
    reason: Annotated[Reason, _open_codes(Reason)] | None = None
    field: str | None = Field(default=None, description="Of an `invalid_contact`: the field that is wrong.")
    message_id: str | None = Field(default=None, description="The provider's own id, once it accepted the e-mail.")
    at: Instant | None = Field(default=None, description="When the status came about.")
    round: int = Field(default=0, ge=0, description="How often it was reopened.")
    send: int = Field(default=0, ge=0, description="How often it stood at sending.")
    attempts: int = Field(default=0, ge=0, description="How many failures of this round were charged to it.")
    answers_lost: int = Field(default=0, ge=0, description="How many answers of this round were lost.")

    @property
    def precedence(self) -> tuple[bool, int, bool, int, int]:
        """Order states of one recipient; of two, the greater is the truth, of equals the first in the log."""
        if self.status is Status.SENT:
            return (True, 0, True, 0, 0)  # of two that were sent the first counts, for it was told to a caller
        return (False, self.round, self.status.final, self.send, _RANK[self.status])


class Origin(BaseModel):
    """Where an event lies."""

    model_config = ConfigDict(frozen=True)

    topic: str
    partition: int
    offset: int
    appended_at: Instant


class Request(BaseModel):
    """The REST call that brought an event."""

    model_config = ConfigDict(frozen=True)

    id: str
    caller: str
    keyless: bool = False


class Dispatch(BaseModel):
    """All that one event leads to, as it now stands."""

    model_config = ConfigDict(frozen=True)

    dispatch_id: str
    event_type: str
    mentor_id: ContactId
    digest: str
    origin: Origin
    request: Request | None = None
    recipients: tuple[Recipient, ...] = ()
    unknown_mentor: bool = False
    retry_of: str | None = Field(
        default=None, description="The dispatch that a caller's repeated call was answered from."
    )
    ended_at: Instant | None = Field(default=None, description="When it became final.")
    seen_through: Mapping[str, int] = Field(
        default_factory=dict, description="By topic: the offset of the last copy of the event seen through."
    )

    @property
    def final(self) -> bool:
        """Return whether nothing more happens by itself."""
        if self.recipients:
            return all(recipient.status.final for recipient in self.recipients)
        return self.unknown_mentor

    @property
    def dispatched_at(self) -> datetime:
        """Return the instant of the last outcome; without one, of the event's append."""
        outcomes = [r.at for r in self.recipients if r.at is not None and r.status.final]
        return max(outcomes, default=self.origin.appended_at)

    def with_recipients(self, recipients: Iterable[Recipient]) -> Dispatch:
        """Return the dispatch with these states of its recipients, in its own order."""
        by_id = {recipient.contact_id: recipient for recipient in recipients}
        return self.model_copy(update={"recipients": tuple(by_id.get(r.contact_id, r) for r in self.recipients)})

    def seen(self, topic: str, offset: int, *, ended_at: datetime | None = None) -> Dispatch:
        """Return the dispatch with the delivery at *offset* of *topic* processed, and when it ended if that is new."""
        through = {**self.seen_through, topic: max(offset, self.seen_through.get(topic, -1))}
        return self.model_copy(update={"seen_through": through, "ended_at": ended_at or self.ended_at})

    def has_seen(self, topic: str, offset: int) -> bool:
        """Return whether the copy at *offset* of *topic* is a redelivery."""
        return offset <= self.seen_through.get(topic, -1)


class Verdict(StrEnum):
    """What became of a whole dispatch, as its caller is told."""

    PENDING = "pending"
    ENDED = "ended"
    UNDELIVERABLE = "undeliverable"
    NOT_DELIVERED = "not_delivered"
    UNKNOWN_MENTOR = "unknown_mentor"


def verdict(dispatch: Dispatch) -> Verdict:
    """
    Sum a dispatch up.

    Ended: every recipient final and not all failed (their own status says the rest); not delivered: all failed, and
    one exhausted its attempts, so that a later try may succeed; undeliverable: all failed for good.
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
    Return the one truth of two records of a dispatch, *first* being the earlier in the log.

    Per recipient the greater precedence wins, so a late write of a former owner does no harm. Associative and
    idempotent; the order of the log decides between equals alone. A recipient that only one of them names is kept:
    dropping it could lose a mail that was sent.
    """
    if _goes_on_from(first, later):
        return later
    recipients = _fold_recipients(first.recipients, later.recipients)
    topics = {*first.seen_through, *later.seen_through}
    return first.model_copy(
        update={
            "recipients": recipients,
            "unknown_mentor": not recipients and (first.unknown_mentor or later.unknown_mentor),
            "request": first.request or later.request,
            "retry_of": first.retry_of or later.retry_of,
            "ended_at": max((at for at in (first.ended_at, later.ended_at) if at is not None), default=None),
            "seen_through": {
                topic: max(first.seen_through.get(topic, -1), later.seen_through.get(topic, -1)) for topic in topics
            },
        }
    )


def _goes_on_from(first: Dispatch, later: Dispatch) -> bool:
    """
    Return whether *later* was made of *first* and says all that it does: then it is the fold of both, as nearly always.

    The long way takes three times as long, and a send goes it twice. Of one origin they are of one dispatch.
    """
    return (
        later.origin is first.origin
        and later.digest is first.digest
        and later.request is first.request
        and later.retry_of is first.retry_of
        and bool(later.recipients)
        and not later.unknown_mentor
        and len(first.recipients) == len(later.recipients)
        and all(map(_is_after, first.recipients, later.recipients))
        and _in_order(later.recipients)
        and (first.ended_at is None or (later.ended_at is not None and later.ended_at >= first.ended_at))
        and all(later.has_seen(topic, offset) for topic, offset in first.seen_through.items())
    )


def _is_after(first: Recipient, later: Recipient) -> bool:
    return later is first or (later.contact_id == first.contact_id and later.precedence > first.precedence)


def _in_order(recipients: tuple[Recipient, ...]) -> bool:
    """Return whether recipients are as a fold gives them: each once, in the order of roles."""
    pairs = pairwise(recipients)
    return len({r.contact_id for r in recipients}) == len(recipients) and all(
        _ROLE_RANK[one.role] <= _ROLE_RANK[next_.role] for one, next_ in pairs
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
    return dispatch.model_dump_json(exclude_defaults=True).encode()


def dispatch_id_of(key: bytes | None) -> str | None:
    """Return the dispatch that a record is of by its key, which is to be had where its value cannot be read."""
    return key.decode() if key is not None and _ID.fullmatch(key) else None


MAX_DISPATCH_BYTES = 64 * 1024
"""Many times what any takes: JSON of brackets alone takes two hundred times its bytes while it is read."""


def parse_dispatch(value: bytes | None) -> Dispatch | None:
    """
    Read a dispatch from a record's value, or give None if it is none.

    Of a newer release's record, codes that are not known here do not count against it: a reason is kept as it is, a
    status is read as `unknown`, which is final, so that nothing is sent of which a newer release knew more.
    """
    if value is None or len(value) > MAX_DISPATCH_BYTES:
        return None
    try:
        return Dispatch.model_validate_json(value)
    except ValidationError:
        return None
