"""A history for a person: one line per entry, in order."""

from __future__ import annotations

from schemas.dispatch import Dispatch, Recipient
from tests.simulation.history import (
    Accepted,
    Answered,
    Appended,
    Called,
    CommitAsked,
    Committed,
    Entry,
    Happened,
    LogLine,
    Polled,
    Reported,
    Troubled,
    Unexpected,
)
from tests.simulation.replica import cached_parse_dispatch

_ID = 6
"""How many characters of a dispatch's id are printed: enough to tell it from the others of a run."""


def line_of(entry: Entry) -> str:
    """Return the line of one entry."""
    return f"{entry.at:9.3f}  {_text(entry)}"


def _text(entry: Entry) -> str:  # noqa: C901, PLR0911 - one line for each kind of entry
    match entry:
        case Appended(record=record, program=program):
            lies = str(record.position)
            return f"{program or 'producer'} -> {lies}  {_value(record.key, record.value)}"
        case CommitAsked(program=program, place=place, offset=offset, owned_from=since):
            return f"{program} asks to commit {place.topic}-{place.partition} at {offset}, owned from {since}"
        case Committed(program=program, place=place, offset=offset):
            return f"{program} has committed {place.topic}-{place.partition} at {offset}"
        case Called(call=call, program=program, dispatch_id=id_, contact_id=contact, owns=owns):
            return f"{program} -> SES call {call}: {id_[:_ID]} to {contact}{'' if owns else ', not the owner'}"
        case Accepted(call=call, message_id=message_id):
            return f"SES accepts call {call} as {message_id}"
        case Answered(call=call, answer=answer):
            return f"call {call} ends: {answer}"
        case Reported(dispatch_id=id_, contact_id=contact, message_id=message_id, kind=kind):
            return f"SES reports {kind} of {message_id}: {id_[:_ID]} to {contact}"
        case Troubled(program=program):
            return f"{program} could not publish, or not fetch"
        case Happened(program=program, what=what, detail=detail):
            return f"*** {program}: {what} {detail}"
        case Polled(program=program, held=held):
            return f"{program} holds {held} records"
        case Unexpected(program=program, what=what):
            return f"!!! {program}: {what}"
        case LogLine(program=program, line=line):
            return f"    {program}: {line}"


def _value(key: bytes | None, value: bytes | None) -> str:
    dispatch = cached_parse_dispatch(value)
    return _dispatch(dispatch) if dispatch is not None else f"{key!r}"


def _dispatch(dispatch: Dispatch) -> str:
    recipients = ", ".join(_recipient(recipient) for recipient in dispatch.recipients)
    more = " unknown mentor" if dispatch.unknown_mentor else ""
    more += f" retry of {dispatch.retry_of[:_ID]}" if dispatch.retry_of else ""
    more += f" seen {dict(dispatch.seen_through)}" if recipients else ""
    return f"{dispatch.dispatch_id[:_ID]}: {recipients}{more}"


def _recipient(recipient: Recipient) -> str:
    marks = f"round {recipient.round} send {recipient.send} lost {recipient.answers_lost}"
    return f"{recipient.contact_id} {recipient.status}({recipient.message_id or recipient.reason or ''}) {marks}"
