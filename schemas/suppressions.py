"""
Suppressions: addresses that get no e-mail, why, and until when.

The topic is compacted. A key is a list and a contact: the same contact may be on both lists, and neither overwrites the
other. A record holds no address, only a salted digest, so that a contact whose address changes is free.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace
from pydantic import Field

from schemas.events import ContactId
from schemas.feedback import Feedback, FeedbackKind, FeedbackState
from schemas.times import Instant, parse_instant

SUPPRESSIONS_TOPIC = "pause-notifications.suppressions.v1"
MAX_SUPPRESSION_BYTES = 32 * 1024
"""More than any entry needs: the ids of 64 bounces are at most 16 KiB."""

GLOBAL_LIST_DAYS = 14
"""How long SES's own global list keeps an address, at most."""
TRANSIENT_IN_A_ROW = 3
TRANSIENT_DAYS = 7
_LONGEST_DAYS = 112
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


class Suppression(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The entry of a contact on one of the lists."""

    contact_id: ContactId
    address: Annotated[str, Meta(max_length=64), Field(max_length=64, description="The digest of the address.")]
    reason: SuppressionReason
    since: Instant
    until: Annotated[Instant | None, Field(description="None: until a person removes it.")] = None
    bounces: Annotated[
        Sequence[str], Meta(max_length=64), Field(description="Of bounces in a row: their message ids.", max_length=64)
    ] = ()
    dispatch_id: Annotated[str | None, Field(description="The dispatch whose e-mail caused it.")] = None
    message_id: Annotated[str | None, Field(description="The e-mail that caused it.")] = None
    detail: Annotated[str | None, Field(description="SES's type and subtype, or the person's own words.")] = None
    by: Annotated[str | None, Field(description="Who added it, if a person did.")] = None
    removed_by: Annotated[
        str | None, Field(description="Who took it off the list; `until` is when. Bounces before that do not count.")
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

    *known* is the entry on the list that the feedback concerns: see `list_of`. A second copy changes nothing.
    """
    if feedback.address is None or (known is not None and _is_older(feedback, known)):
        return None
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
        and feedback.state is FeedbackState.DELIVERED
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
        until=feedback.at + timedelta(days=GLOBAL_LIST_DAYS) if of_ses else None,
        dispatch_id=feedback.dispatch_id,
        message_id=feedback.message_id,
        detail=feedback.detail,
    )
    if known is not None and known.address == found.address and _lasts_longer(known, found):
        return None
    return found


def _lasts_longer(known: Suppression, found: Suppression) -> bool:
    if known.until is None:
        return True
    return found.until is not None and known.until >= found.until


def _transient(feedback: Feedback, contact_id: str, known: Suppression | None) -> Suppression | None:
    bounces: tuple[str, ...] = ()
    if known is not None and known.address == feedback.address:
        bounces = tuple(known.bounces)
    if feedback.message_id in bounces:
        return None
    bounces = (*bounces, feedback.message_id)[-64:]
    doublings = max(len(bounces) - TRANSIENT_IN_A_ROW, 0)
    days = min(TRANSIENT_DAYS * 2**doublings, _LONGEST_DAYS)
    return Suppression(
        contact_id=contact_id,
        address=feedback.address or "",
        reason=SuppressionReason.UNREACHABLE,
        since=feedback.at,
        until=feedback.at + timedelta(days=days),
        bounces=bounces,
        dispatch_id=feedback.dispatch_id,
        message_id=feedback.message_id,
        detail=feedback.detail,
    )


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
