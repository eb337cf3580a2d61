"""Decide from a dead letter alone whether it holds an event that can be published again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from deploy.command.dead_letters.selection import StoredLetter
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
    MENTOR_TOLD = "mentor_told"
    MENTOR_TRIED = "mentor_tried"
    LIMIT = "limit"

    @property
    def explanation(self) -> str:
        """The reason in words."""
        return _EXPLANATIONS[self]


_EXPLANATIONS: Mapping[Skip, str] = {
    Skip.NOT_AN_EVENT: "the record is not a valid event; its producer must publish it again",
    Skip.UNREADABLE_BATCH: "its bytes could not be read; the producer must publish these offsets again",
    Skip.RECORDS_DELETED: "deleted before a replica read them; their producers must publish them again",
    Skip.RANGE: "it covers many records and holds only the first; their producer must publish them again",
    Skip.CUT: "the record was too large to be stored whole",
    Skip.CONFLICTING_DUPLICATE: "a known id with other content; its producer must use a new id",
    Skip.UNPROVEN_SOURCE: "it claims to come from one of our programs, and no key here proves it",
    Skip.SAME_DISPATCH: "a later dead letter of the same dispatch is used instead",
    Skip.FORGOTTEN: "the dispatches topic has no record of it (or no longer has one)",
    Skip.UNDER_WAY: "a replica is processing it again",
    Skip.SENT: "all its e-mails were sent since",
    Skip.NOTHING_TO_MEND: "none of its recipients has failed: all were sent or have expired since",
    Skip.QUEUED: "a replay of it is waiting for a replica",
    Skip.TOO_LATE: "its e-mail would be out of date",
    Skip.ANSWERED: "its REST caller was told of the failure; --include-answered replays it anyway",
    Skip.MAX_ROUNDS: "it was retried as often as --max-rounds allows",
    Skip.MENTOR_TOLD: "it says that the mentor was not reached, who was told since",
    Skip.MENTOR_TRIED: "it says that the mentor was not reached, whose own notice is replayed; see how that ends",
    Skip.LIMIT: "beyond --limit",
}


@dataclass(frozen=True)
class Candidate:
    """A dead letter that holds an event, and what is proven about it."""

    stored: StoredLetter
    event: Event
    headers: Headers
    """The original's headers. Unproven `pn_` headers are left out, because the replay is signed."""
    dispatch: Dispatch | None = None
    """The dispatch as the letter has it; None if nothing proves that a replica wrote the letter."""
    appended_at: datetime | None = None
    """When the event was first appended, from which expiry counts; None as above."""


def judge_letter(stored: StoredLetter, keys: SigningKeys) -> Candidate | Skip:
    """Return the candidate that a dead letter is, or why it cannot be replayed."""
    letter, event = stored.letter, stored.event
    if (skip := _incomplete(stored)) is not None:
        return skip
    if event is None:
        return Skip.NOT_AN_EVENT
    original = keys.check(letter.origin.topic, letter.key, letter.value, letter.headers)
    if letter.reason is DeadLetterReason.UNPROVEN_SOURCE and not original.proven:
        return Skip.UNPROVEN_SOURCE
    headers = letter.headers if original.proven else without_ours(letter.headers)
    if not stored.proof(keys).proven:
        return Candidate(stored, event, headers)
    if letter.dispatch is not None and event.dispatch_id != letter.dispatch.dispatch_id:
        return Skip.NOT_AN_EVENT
    return Candidate(stored, event, headers, letter.dispatch, _first_append(headers, letter.origin.appended_at))


def _incomplete(stored: StoredLetter) -> Skip | None:
    """Return why a dead letter cannot hold a whole event, judged by its reason and its length."""
    letter = stored.letter
    if letter.reason in _WITHOUT_EVENT:
        return _WITHOUT_EVENT[letter.reason]
    if letter.last_offset is not None:
        return Skip.RANGE
    if header(stored.record.headers, names.VALUE_LENGTH) is not None:
        return Skip.CUT
    return Skip.NOT_AN_EVENT if isinstance(letter.reason, NotAnEventReason) else None


_WITHOUT_EVENT: Mapping[DeadLetterReason | NotAnEventReason, Skip] = {
    DeadLetterReason.UNREADABLE_BATCH: Skip.UNREADABLE_BATCH,
    DeadLetterReason.RECORDS_DELETED: Skip.RECORDS_DELETED,
    DeadLetterReason.CONFLICTING_DUPLICATE: Skip.CONFLICTING_DUPLICATE,
}


def _first_append(headers: Headers, origin_appended_at: datetime) -> datetime:
    text = header_text(headers, names.APPENDED_AT)
    try:
        return min(parse_instant(text), origin_appended_at) if text else origin_appended_at
    except ValueError:
        return origin_appended_at
