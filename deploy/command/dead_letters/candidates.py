"""Which dead letters hold an event that can be published again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from deploy.command.dead_letters.selection import Found
from schemas import headers as names
from schemas.cloudevents import NotAnEventReason
from schemas.dead_letters import DeadLetterReason
from schemas.dispatch import Dispatch
from schemas.events import Event
from schemas.headers import Headers, header, header_text
from schemas.signatures import SigningKeys, without_ours
from schemas.times import parse_instant


class Skip(StrEnum):
    """Why a dead letter is not replayed: a stable code."""

    NOT_AN_EVENT = "not_an_event"
    UNREADABLE_BATCH = "unreadable_batch"
    RECORDS_DELETED = "records_deleted"
    RANGE = "range"
    CUT = "cut"
    CONFLICTING_DUPLICATE = "conflicting_duplicate"
    UNPROVEN_SOURCE = "unproven_source"
    SAME_DISPATCH = "same_dispatch"
    FORGOTTEN = "forgotten"
    UNDER_WAY = "under_way"
    SENT = "sent"
    NOTHING_TO_MEND = "nothing_to_mend"
    QUEUED = "queued"
    TOO_LATE = "too_late"
    ANSWERED = "answered"
    MAX_ROUNDS = "max_rounds"
    LIMIT = "limit"

    @property
    def says(self) -> str:
        """Say it for a person."""
        return _SAYS[self]


_SAYS: Mapping[Skip, str] = {
    Skip.NOT_AN_EVENT: "the record is no event; have its producer publish it anew",
    Skip.UNREADABLE_BATCH: "its bytes could not be read; have its producer publish the offsets anew",
    Skip.RECORDS_DELETED: "they were deleted before anybody saw them; have their producers publish them anew",
    Skip.RANGE: "it stands for many records and keeps the first; have their producer publish them anew",
    Skip.CUT: "it was too large to be kept whole",
    Skip.CONFLICTING_DUPLICATE: "other content under a known id; have its producer use a new id",
    Skip.UNPROVEN_SOURCE: "it says that it is the REST service's, and no key here proves it",
    Skip.SAME_DISPATCH: "a later dead letter of the same dispatch stands for it",
    Skip.FORGOTTEN: "the dispatches topic says nothing of it (any more)",
    Skip.UNDER_WAY: "it is being seen through again",
    Skip.SENT: "all its mails were sent since",
    Skip.NOTHING_TO_MEND: "nothing of it has failed: sent, expired or suppressed since",
    Skip.QUEUED: "a replay of it waits to be taken",
    Skip.TOO_LATE: "its mail would be too late to be true",
    Skip.ANSWERED: "its REST caller was told of the failure; --include-answered replays it all the same",
    Skip.MAX_ROUNDS: "it was tried again as often as --max-rounds allows",
    Skip.LIMIT: "beyond --limit",
}


@dataclass(frozen=True)
class Candidate:
    """A dead letter of an event that failed, and what of it is proven."""

    found: Found
    event: Event
    headers: Headers
    """The original's, without those of ours that nobody proves: a replay is signed, and must not sign a stranger's."""
    stood: Dispatch | None = None
    """The dispatch as it stood when the letter was set aside; None if nothing proves that a replica wrote it."""
    appended_at: datetime | None = None
    """The append time of the very first copy, from which expiry counts; None likewise."""


def candidate_of(found: Found, keys: SigningKeys) -> Candidate | Skip:
    """Judge a dead letter by itself."""
    letter, event = found.letter, found.event
    if (skip := _not_whole(found)) is not None:
        return skip
    if event is None:
        return Skip.NOT_AN_EVENT
    original = keys.check(letter.origin.topic, letter.key, letter.value, letter.headers)
    if letter.reason is DeadLetterReason.UNPROVEN_SOURCE and not original.proven:
        return Skip.UNPROVEN_SOURCE
    headers = letter.headers if original.proven else without_ours(letter.headers)
    if not found.proof(keys).proven:
        return Candidate(found, event, headers)
    if letter.dispatch is not None and event.dispatch_id != letter.dispatch.dispatch_id:
        return Skip.NOT_AN_EVENT
    return Candidate(found, event, headers, letter.dispatch, _first_append(headers, letter.origin.appended_at))


def _not_whole(found: Found) -> Skip | None:
    """Return why a dead letter holds no event that could be sent again, if its reason or its length says so."""
    if found.letter.reason is DeadLetterReason.UNREADABLE_BATCH:
        return Skip.UNREADABLE_BATCH
    if found.letter.reason is DeadLetterReason.RECORDS_DELETED:
        return Skip.RECORDS_DELETED
    if found.letter.reason is DeadLetterReason.CONFLICTING_DUPLICATE:
        return Skip.CONFLICTING_DUPLICATE
    if found.letter.last_offset is not None:
        return Skip.RANGE
    if header(found.record.headers, names.VALUE_LENGTH) is not None:
        return Skip.CUT
    return Skip.NOT_AN_EVENT if isinstance(found.letter.reason, NotAnEventReason) else None


def _first_append(headers: Headers, of_origin: datetime) -> datetime:
    text = header_text(headers, names.APPENDED_AT)
    try:
        return min(parse_instant(text), of_origin) if text else of_origin
    except ValueError:
        return of_origin
