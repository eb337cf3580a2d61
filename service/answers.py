"""Decide what a caller is answered: pure functions from what is known to status, headers and body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runtime.feedback import Shown
from runtime.kafka.publisher import Published
from schemas.dispatch import Dispatch, Recipient, Status, Verdict, verdict
from schemas.events import CertificationExpiring, Event, EventData
from schemas.times import format_seconds
from service.problems import KEY_REUSED, NOT_DELIVERED, UNDELIVERABLE, UNKNOWN_MENTOR, Problem

BASE_PATH = "/api/v1/pause-notifications"
DISPATCHES_PATH = f"{BASE_PATH}/dispatches"
ASK_AGAIN_SECONDS = 2
"""The `Retry-After` of an answer that is not final."""
_NO_FEEDBACK: Mapping[str, Shown] = {}


@dataclass(frozen=True)
class Answer:
    """An answer that is not a problem."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


def settled(dispatch: Dispatch, event: Event, published: Published) -> bool:
    """
    Return whether a dispatch, folded from the records since the call was registered, answers the call; else it is 202.

    A final record may be about an earlier delivery of the event only. A repeated call may reopen what failed, so it
    must not be answered with the outcome that it has just undone.
    """
    if dispatch.digest != event.digest:
        return True
    through = dispatch.seen_through.get(published.topic)
    return dispatch.final and (through is None or through >= published.offset)


def final_answer(event: Event, dispatch: Dispatch, *, request_id: str) -> Answer | Problem:
    """Return the outcome of an event whose dispatch is settled."""
    headers = {"Dispatch-Id": event.dispatch_id, **_replayed(dispatch, request_id)}
    if dispatch.digest != event.digest:
        return _key_reused(event)
    outcome = verdict(dispatch)
    if outcome is Verdict.ENDED:
        return Answer(200, body(event.data, dispatch, dispatch.dispatched_at), headers)
    if outcome is Verdict.UNKNOWN_MENTOR:
        detail = "No contact with this mentor_id is known, so nobody was notified."
        return Problem(UNKNOWN_MENTOR, detail, headers=headers, dispatch_id=event.dispatch_id)
    kind = UNDELIVERABLE if outcome is Verdict.UNDELIVERABLE else NOT_DELIVERED
    return Problem(
        kind,
        "Nobody was notified; notifications_dispatched says why.",
        headers=headers,
        dispatch_id=event.dispatch_id,
        notifications_dispatched=entries(dispatch, event.mentor_id),
    )


def pending_answer(
    event: Event, dispatch: Dispatch | None, published: Published, *, request_id: str
) -> Answer | Problem:
    """Return the 202 for a durable event: what is known so far, and where to ask for the rest."""
    if dispatch is not None and dispatch.digest != event.digest:
        return _key_reused(event)  # what is known is about other content, whose outcome is not this call's
    headers = {
        "Dispatch-Id": event.dispatch_id,
        "Location": location(event.dispatch_id, published),
        "Retry-After": str(ASK_AGAIN_SECONDS),
        **(_replayed(dispatch, request_id) if dispatch else {}),
    }
    return Answer(202, body(event.data, dispatch, _at(dispatch, published.appended_at)), headers)


def state_answer(
    event: Event, dispatch: Dispatch | None, appended_at: datetime, feedback: Mapping[str, Shown] = _NO_FEEDBACK
) -> Answer:
    """Return the state of the dispatch of an accepted event: 200, whatever the outcome; add *feedback* by contact."""
    headers = {"Dispatch-Id": event.dispatch_id, "Cache-Control": "no-store"}
    if dispatch is not None and dispatch.digest != event.digest:
        unsent = {**body(event.data, None, appended_at), "notifications_dispatched": []}
        return Answer(200, {**unsent, "reason": "key_reused"}, headers)
    shown = _with_feedback(body(event.data, dispatch, _at(dispatch, appended_at)), feedback)
    if dispatch is not None and verdict(dispatch) is Verdict.UNKNOWN_MENTOR:
        return Answer(200, {**shown, "notifications_dispatched": [], "reason": "unknown_mentor"}, headers)
    if dispatch is None or not dispatch.final:
        headers["Retry-After"] = str(ASK_AGAIN_SECONDS)
    return Answer(200, shown, headers)


def _key_reused(event: Event) -> Problem:
    detail = "This Idempotency-Key was used for this mentor before, with other content."
    return Problem(KEY_REUSED, detail, headers={"Dispatch-Id": event.dispatch_id}, dispatch_id=event.dispatch_id)


def _with_feedback(shown: dict[str, Any], feedback: Mapping[str, Shown]) -> dict[str, Any]:
    """Return the body with the feedback of each recipient that has any; only `GET dispatches/{id}` shows it."""
    listed = shown["notifications_dispatched"]
    told = [{**one, "feedback": feedback[one["recipient"]]} if one["recipient"] in feedback else one for one in listed]
    return {**shown, "notifications_dispatched": told}


def body(data: EventData, dispatch: Dispatch | None, at: datetime) -> dict[str, Any]:
    """Return the body: exactly the fields of the contract, in its order."""
    about: dict[str, Any] = {"mentor_id": data.mentor_id}
    if isinstance(data, CertificationExpiring):
        about["days_remaining"] = data.days_remaining
    return {
        **about,
        "notifications_dispatched": entries(dispatch, data.mentor_id),
        "dispatched_at": format_seconds(at),
    }


def entries(dispatch: Dispatch | None, mentor_id: str) -> list[dict[str, Any]]:
    """Return the recipients as callers see them; before any are known, the mentor alone, pending."""
    if dispatch is None or not dispatch.recipients:
        return [entry(mentor_id, Status.PENDING, None)]
    return [_recipient(recipient) for recipient in dispatch.recipients]


def location(dispatch_id: str, published: Published) -> str:
    """Return the address at which any facade answers for a dispatch."""
    return f"{DISPATCHES_PATH}/{dispatch_id}?at={published.position}"


def _recipient(recipient: Recipient) -> dict[str, Any]:
    if recipient.status is Status.SENT:
        return entry(recipient.contact_id, Status.SENT, recipient.message_id)
    if not recipient.status.final:
        # To a caller, `sending` is no more certain than `pending`.
        return entry(recipient.contact_id, Status.PENDING, None)
    reason = recipient.reason or recipient.status
    return {**entry(recipient.contact_id, recipient.status, None), "reason": reason.value}


def entry(recipient: str, status: Status, message_id: str | None) -> dict[str, Any]:
    """Return one recipient's entry, but for its reason."""
    return {"recipient": recipient, "channel": "email", "status": status.value, "message_id": message_id}


def _replayed(dispatch: Dispatch, request_id: str) -> dict[str, str]:
    others = dispatch.request is not None and dispatch.request.id != request_id
    return {"Idempotent-Replayed": "true"} if others or dispatch.retry_of is not None else {}


def _at(dispatch: Dispatch | None, appended_at: datetime) -> datetime:
    """Return the instant of the last outcome, else the event's append time."""
    return dispatch.dispatched_at if dispatch is not None and dispatch.recipients else appended_at
