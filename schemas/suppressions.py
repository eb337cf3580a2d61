"""
Suppressions: addresses that get no e-mail, why, and until when.

The topic is compacted. A key is a list and a contact: the same contact may be on both lists, and neither overwrites the
other. A record holds no address, only a salted digest, so that a contact whose address changes is free.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace
from pydantic import Field

from schemas.events import ContactId
from schemas.feedback import DispatchId, Feedback, FeedbackKind, MessageId
from schemas.times import Instant, parse_instant

SUPPRESSIONS_TOPIC = "pause-notifications.suppressions.v1"
MAX_SUPPRESSION_BYTES = 16 * 1024
"""More than any entry takes: its message ids alone may take half of it."""
MAX_TEXT = 256
"""How many characters an entry's detail and its author's name have at most."""

GLOBAL_LIST_DAYS = 14
"""How long SES's own global list keeps an address, at most."""
TRANSIENT_IN_A_ROW = 3
TRANSIENT_DAYS = 7
MAX_BOUNCES = 16
"""How many message ids an entry keeps: more than lengthen it, so that a late copy of one is still known."""
_LONGEST_DAYS = 112
_LAST = datetime.max.replace(tzinfo=UTC)
_GLOBAL_LIST = "Suppressed"


class SuppressionReason(StrEnum):
    """Why an address gets no e-mail."""

    BOUNCED = "bounced"
    COMPLAINED = "complained"
    UNREACHABLE = "unreachable"
    MANUAL = "manual"


class SuppressionList(StrEnum):
    """The two lists: for what ends no later mail by itself, and for bounces in a row."""

    HARD = "hard"
    TRANSIENT = "transient"


_Text = Annotated[str, Meta(max_length=MAX_TEXT), Field(max_length=MAX_TEXT)]


class Suppression(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The entry of a contact on one of the lists."""

    contact_id: ContactId
    address: Annotated[str, Meta(max_length=64), Field(max_length=64, description="The digest of the address.")]
    reason: SuppressionReason
    since: Instant
    until: Annotated[Instant | None, Field(description="None: until a person removes it.")] = None
    bounces: Annotated[
        tuple[MessageId, ...],
        Meta(max_length=MAX_BOUNCES),
        Field(max_length=MAX_BOUNCES, description="Of bounces in a row: the message ids of the last ones."),
    ] = ()
    dispatch_id: Annotated[DispatchId | None, Field(description="The dispatch whose e-mail caused it.")] = None
    message_id: Annotated[MessageId | None, Field(description="The e-mail that caused it.")] = None
    detail: Annotated[_Text | None, Field(description="SES's type and subtype, or the person's own words.")] = None
    by: Annotated[_Text | None, Field(description="Who added it, if a person did.")] = None
    removed_by: Annotated[
        _Text | None, Field(description="Who took it off the list; `until` is when. Bounces before that do not count.")
    ] = None

    @property
    def on(self) -> SuppressionList:
        """Return the list that it is on."""
        transient = self.reason is SuppressionReason.UNREACHABLE
        return SuppressionList.TRANSIENT if transient else SuppressionList.HARD

    def applies(self, address: str, now: datetime) -> bool:
        """Return whether the address with this digest gets no e-mail now."""
        if self.address != address or (self.until is not None and now >= self.until):
            return False
        return self.on is SuppressionList.HARD or len(self.bounces) >= TRANSIENT_IN_A_ROW


def removed(known: Suppression, by: str, now: datetime) -> Suppression:
    """
    Return the entry after a person took it off its list: it has ended, and says who ended it.

    It takes the place of a null value, which could not say that. It also keeps a late copy of the old bounce from
    suppressing the address again.
    """
    return replace(known, until=now, bounces=(), removed_by=by)


def after(feedback: Feedback, contact_id: str, known: Suppression | None) -> Suppression | None:
    """
    Return the entry that follows from feedback about a contact, or None if there is nothing to write.

    *known* is the entry on the list that the feedback concerns: see `list_of`. A second copy changes nothing, and late
    feedback about an address that the contact had earlier replaces no later entry.
    """
    if feedback.address is None or (known is not None and _is_older(feedback, known)):
        return None
    if known is not None and known.address != feedback.address:
        if feedback.at <= known.since:
            return None
        known = None
    if feedback.is_permanent:
        return _hard(feedback, contact_id, known)
    return _transient(feedback, contact_id, known) if feedback.is_transient else None


def _is_older(feedback: Feedback, known: Suppression) -> bool:
    """Return whether a person took the address off this list after the report."""
    until = known.until if known.removed_by is not None and known.address == feedback.address else None
    return until is not None and feedback.at <= until


def clears(feedback: Feedback, known: Suppression | None) -> bool:
    """Return whether a delivery ends the row of bounces in *known*, the entry on the transient list."""
    return (
        known is not None
        and len(known.bounces) > 0
        and feedback.kind is FeedbackKind.DELIVERY
        and feedback.address == known.address
        and feedback.message_id not in known.bounces
        and feedback.at >= known.since
    )


def list_of(feedback: Feedback) -> SuppressionList:
    """Return the list that feedback concerns."""
    return SuppressionList.HARD if feedback.is_permanent else SuppressionList.TRANSIENT


def _hard(feedback: Feedback, contact_id: str, known: Suppression | None) -> Suppression | None:
    complained = feedback.kind is FeedbackKind.COMPLAINT
    of_ses = feedback.subtype == _GLOBAL_LIST and not complained
    found = Suppression(
        contact_id=contact_id,
        address=feedback.address or "",
        reason=SuppressionReason.COMPLAINED if complained else SuppressionReason.BOUNCED,
        since=feedback.at,
        until=_days_after(feedback.at, GLOBAL_LIST_DAYS) if of_ses else None,
        dispatch_id=feedback.dispatch_id,
        message_id=feedback.message_id,
        detail=feedback.detail,
    )
    return None if known is not None and _lasts_longer(known, found) else found


def _lasts_longer(known: Suppression, found: Suppression) -> bool:
    if known.until is None:
        return True
    return found.until is not None and known.until >= found.until


def _transient(feedback: Feedback, contact_id: str, known: Suppression | None) -> Suppression | None:
    bounces = known.bounces if known is not None else ()
    # A full list may have dropped a message id. An earlier bounce could not lengthen it anyway, so it is left out.
    late = known is not None and len(bounces) == MAX_BOUNCES and feedback.at <= known.since
    if feedback.message_id in bounces or late:
        return None
    bounces = (*bounces, feedback.message_id)[-MAX_BOUNCES:]
    doublings = max(len(bounces) - TRANSIENT_IN_A_ROW, 0)
    since = feedback.at if known is None else max(feedback.at, known.since)
    return Suppression(
        contact_id=contact_id,
        address=feedback.address or "",
        reason=SuppressionReason.UNREACHABLE,
        since=since,
        until=_days_after(since, min(TRANSIENT_DAYS * 2**doublings, _LONGEST_DAYS)),
        bounces=bounces,
        dispatch_id=feedback.dispatch_id,
        message_id=feedback.message_id,
        detail=feedback.detail,
    )


def _days_after(since: datetime, days: int) -> datetime:
    """Return the instant that many days later, or the last one that there is: SES's times are not checked."""
    return since + min(timedelta(days=days), _LAST - since)


def suppression_key(on: SuppressionList, contact_id: str) -> bytes:
    """Return the key of a contact's record on one of the lists."""
    return f"{on.value}:{contact_id}".encode()


def parse_suppression_key(key: bytes | None) -> tuple[SuppressionList, str] | None:
    """Return the list and the contact that a key names, or None if it names none."""
    try:
        on, found, contact_id = (key or b"").decode().partition(":")
        return (SuppressionList(on), contact_id) if found and contact_id else None
    except ValueError:
        return None


def suppression_json(suppression: Suppression) -> bytes:
    """Write an entry as the value of its record."""
    return _ENCODER.encode(suppression)


def parse_suppression(key: bytes | None, value: bytes | None) -> Suppression | None:
    """Read an entry from a record, or return None if it is none, or not the one that its key names."""
    named = parse_suppression_key(key)
    if named is None or value is None or len(value) > MAX_SUPPRESSION_BYTES:
        return None
    try:
        found = _DECODER.decode(value)
        since, until = parse_instant(found.since.isoformat()), found.until
        in_utc = replace(found, since=since, until=until and parse_instant(until.isoformat()))
    except (ValueError, RecursionError):
        return None
    return in_utc if (in_utc.on, in_utc.contact_id) == named else None


_DECODER = msgspec.json.Decoder(Suppression)
_ENCODER = msgspec.json.Encoder()
