"""
Feedback: what became of an e-mail after SES took it, how its record is written, and how several of them combine.

A record is about one recipient of one e-mail. It holds no address and no diagnostic text that quotes one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace
from pydantic import Field
from pydantic.config import JsonDict

from schemas.times import Instant, parse_instant

FEEDBACK_TOPIC = "pause-notifications.feedback.v1"
MAX_FEEDBACK_BYTES = 4 * 1024
"""Far more than any record of feedback needs."""


def _limits(characters: str, most: int, *, least: int = 1) -> Meta:
    """Return the limits of a text for msgspec."""
    return Meta(pattern=f"^[{characters}]{{{least},{most}}}\\Z")


def _published(characters: str, most: int, description: str | None = None, *, least: int = 1) -> Any:
    """Return the same limits for the JSON Schema, without anchors, which dialects read differently."""
    extra: JsonDict = {"not": {"pattern": f"[^{characters}]"}}
    return Field(min_length=least, max_length=most, description=description, json_schema_extra=extra)


_HEX = "0-9a-f"
_TAG = "A-Za-z0-9_-"
_CODE = "A-Za-z0-9 ._-"
_VISIBLE = "\\x21-\\x7e"
_HASHED = "sha256-"
_FITTING = re.compile(f"[{_TAG}]{{1,256}}")

DispatchId = Annotated[
    str, _limits(_HEX, 32, least=32), _published(_HEX, 32, "The dispatch's id: the record's key.", least=32)
]
MessageId = Annotated[str, _limits(_VISIBLE, 256), _published(_VISIBLE, 256, "SES's id of the e-mail.")]
_Tag = Annotated[str, _limits(_TAG, 256), _published(_TAG, 256, "The e-mail's tag `recipient`: see `recipient_tag`.")]
_Code = Annotated[str, _limits(_CODE, 64), _published(_CODE, 64)]


class FeedbackKind(StrEnum):
    """What SES reports: the names of its event types, in snake case."""

    SEND = "send"
    DELIVERY = "delivery"
    DELIVERY_DELAY = "delivery_delay"
    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    REJECT = "reject"
    RENDERING_FAILURE = "rendering_failure"


class FeedbackState(StrEnum):
    """What is known of an e-mail, from the least severe to the most severe."""

    ACCEPTED = "accepted"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RENDERING_FAILED = "rendering_failed"
    REJECTED = "rejected"
    BOUNCED = "bounced"
    COMPLAINED = "complained"

    @property
    def severity(self) -> int:
        """Return its place in the order; a later report never lowers it."""
        return _SEVERITY[self]


_SEVERITY = {state: severity for severity, state in enumerate(FeedbackState)}
_STATE_OF = {
    FeedbackKind.SEND: FeedbackState.ACCEPTED,
    FeedbackKind.DELIVERY: FeedbackState.DELIVERED,
    FeedbackKind.DELIVERY_DELAY: FeedbackState.DELAYED,
    FeedbackKind.BOUNCE: FeedbackState.BOUNCED,
    FeedbackKind.COMPLAINT: FeedbackState.COMPLAINED,
    FeedbackKind.REJECT: FeedbackState.REJECTED,
    FeedbackKind.RENDERING_FAILURE: FeedbackState.RENDERING_FAILED,
}


class Feedback(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One report of SES about one recipient of one e-mail."""

    dispatch_id: DispatchId
    recipient: _Tag
    message_id: MessageId
    kind: FeedbackKind
    at: Annotated[Instant, Field(description="When it happened, as SES says.")]
    sent_at: Annotated[Instant | None, Field(description="When SES took the e-mail, as SES says.")] = None
    type: Annotated[_Code | None, Field(description="Of a bounce its type, of a complaint the kind of the report.")] = (
        None
    )
    subtype: Annotated[_Code | None, Field(description="Of a bounce or a complaint: SES's subtype.")] = None
    status: Annotated[_Code | None, Field(description="Of a bounce: the enhanced status code (RFC 3463).")] = None
    automatic_reply: Annotated[bool, Field(description="A bounce that is an out-of-office reply.")] = False
    address: Annotated[
        _Code | None, Field(description="The digest of the address, salted with `recipient`: see `address_digest`.")
    ] = None

    @property
    def state(self) -> FeedbackState:
        """Return what it says of the e-mail. An out-of-office reply and `not-spam` show that it was delivered."""
        if self._is_automatic_reply or (self.kind is FeedbackKind.COMPLAINT and self.type == NOT_SPAM):
            return FeedbackState.DELIVERED
        return _STATE_OF[self.kind]

    @property
    def detail(self) -> str | None:
        """Return SES's type and subtype as one text, such as `Permanent/NoEmail`."""
        return "/".join(part for part in (self.type, self.subtype) if part) or None

    @property
    def is_transient(self) -> bool:
        """Return whether it is a bounce after which a later e-mail may arrive."""
        return self.kind is FeedbackKind.BOUNCE and not self._is_automatic_reply and self.type != PERMANENT

    @property
    def is_permanent(self) -> bool:
        """Return whether no later e-mail to this address will arrive, or be wanted."""
        if self.kind is FeedbackKind.COMPLAINT:
            return self.type != NOT_SPAM
        return self.kind is FeedbackKind.BOUNCE and not self._is_automatic_reply and self.type == PERMANENT

    @property
    def _is_automatic_reply(self) -> bool:
        """Return whether it is an out-of-office reply; of any other kind, the flag means nothing."""
        return self.automatic_reply and self.kind is FeedbackKind.BOUNCE

    @property
    def identity(self) -> tuple[str, str, str]:
        """Return what two copies of one report have in common: message id, kind and recipient."""
        return (self.message_id, self.kind, self.recipient)


PERMANENT = "Permanent"
NOT_SPAM = "not-spam"


def most_severe(reports: Iterable[Feedback]) -> Feedback | None:
    """
    Return the report that counts of an e-mail, or None if there is none.

    Neither order nor copies of *reports* change the result: the greater severity counts, of equals the earlier time.
    """
    return min(reports, key=_rank, default=None)


def _rank(report: Feedback) -> tuple[Any, ...]:
    """Return the order of reports. It holds every field, so that only copies are equal."""
    codes = (report.type, report.subtype, report.status, report.address)
    return (
        -report.state.severity,
        report.at,
        report.sent_at is not None,
        report.sent_at or report.at,
        report.identity,
        report.dispatch_id,
        report.automatic_reply,
        tuple(code or "" for code in codes),
    )


def recipient_tag(contact_id: str) -> str:
    """Return the value of a contact's tag: the id if SES allows its characters in tags, else its hash."""
    if _FITTING.fullmatch(contact_id):
        return contact_id
    return f"{_HASHED}{hashlib.sha256(contact_id.encode()).hexdigest()}"


def is_hashed(recipient: str) -> bool:
    """Return whether a tag may be the hash of a contact's id."""
    return recipient.startswith(_HASHED)


def address_digest(recipient: str, address: str) -> str:
    """Return the digest of an address, salted with the e-mail's tag `recipient`; case does not count."""
    return hashlib.sha256(f"{recipient}\0{address.strip().casefold()}".encode()).hexdigest()[:32]


def feedback_json(feedback: Feedback) -> bytes:
    """Write feedback as the value of its record; the key is the dispatch's id."""
    return _ENCODER.encode(feedback)


def parse_feedback(key: bytes | None, value: bytes | None) -> Feedback | None:
    """Read feedback from a record, or return None if it is none, or if the key is not its dispatch's id."""
    if value is None or len(value) > MAX_FEEDBACK_BYTES:
        return None
    try:
        found = _DECODER.decode(value)
        if key is None or found.dispatch_id.encode() != key:
            return None
        return _in_utc(found)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None


def _in_utc(found: Feedback) -> Feedback:
    instants: list[datetime | None] = [found.at, found.sent_at]
    if all(at is None or (at.tzinfo is UTC and at.year > 1) for at in instants):
        return found
    at, sent_at = (at and parse_instant(at.isoformat()) for at in instants)
    return replace(found, at=at, sent_at=sent_at)


_DECODER = msgspec.json.Decoder(Feedback)
_ENCODER = msgspec.json.Encoder()
