"""Decides what an event calls for and what becomes of each recipient. Pure functions: nothing is done here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from consumers.email import AnswerLost, EmailError, Halted, Refused, Throttled
from consumers.ledger.retry_window import LastCall
from runtime.settings import LostAnswerPolicy
from schemas.dead_letters import DeadLetterReason
from schemas.dispatch import Dispatch, Origin, Reason, Recipient, Request, Status, fold
from schemas.events import UNDELIVERED, Event, Role
from schemas.suppressions import SuppressionReason

_OF_ADDRESSES = frozenset(Reason(reason.value) for reason in SuppressionReason)
"""The reasons of recipients whose address is suppressed. Others were sent to before, or operators want it so."""

_NO_ADDRESS = frozenset({Reason.NO_ADDRESS, Reason.INVALID_CONTACT})
"""The reasons of recipients who have no address that an e-mail could be sent to."""

_BY_OPERATOR = frozenset({Reason.CANCELLED, Reason.NOT_ALLOWED_HERE})
"""The reasons of recipients whom operators do not want to be told."""


@dataclass(frozen=True)
class Delivery:
    """One delivery of an event, as read from its topic. The same event may be delivered several times."""

    event: Event
    origin: Origin
    appended_at: datetime
    """When the event was first appended: a moved or replayed record carries that time."""
    request: Request | None = None
    replay: bool = False
    carried: Dispatch | None = None
    """On a replay: the dispatch as it was when the replay was made."""
    waits_seconds: float = 0.0
    """How long a caller waits for the outcome, from when the record is taken."""


@dataclass(frozen=True)
class AlreadyProcessed:
    """This delivery was processed before: do nothing."""


@dataclass(frozen=True)
class RepublishOutcome:
    """Another delivery of the event was processed before: append its outcome again, for a caller who waits."""

    dispatch: Dispatch


@dataclass(frozen=True)
class Conflicting:
    """The id is known with other content: dead-letter the delivery, and append the outcome for a caller who waits."""

    dispatch: Dispatch


@dataclass(frozen=True)
class AnswerFromEarlier:
    """A call without a key is repeated: answer it from the dispatch of the first call."""

    first: str


@dataclass(frozen=True)
class Process:
    """Process the dispatch from its present state."""

    dispatch: Dispatch


FindLastCall = Callable[[str, str], LastCall | None]
"""Finds the last event of a mentor in a topic."""
Decision = AlreadyProcessed | RepublishOutcome | Conflicting | AnswerFromEarlier | Process


def decide(delivery: Delivery, known: Dispatch | None, last_call: FindLastCall, retry_window: timedelta) -> Decision:
    """Return what a delivery calls for, from what is known of its dispatch and of the mentor's last call."""
    if delivery.carried is not None:
        known = delivery.carried if known is None else fold(known, delivery.carried)
    if known is None:
        return _decide_new(delivery, last_call, retry_window)
    topic, offset = delivery.origin.topic, delivery.origin.offset
    if known.final and known.has_seen(topic, offset):
        return AlreadyProcessed()
    if known.digest != delivery.event.digest:
        return Conflicting(known.seen(topic, offset) if known.final else known)
    if not known.final:
        return Process(known)
    reopened = reopen(known, replay=delivery.replay, as_of=delivery.carried)
    if reopened is None and known.seen_through:
        return RepublishOutcome(known.seen(topic, offset))
    return Process(reopened or known)  # reopened; or never ended: the records of two owners are final only when merged


def _decide_new(delivery: Delivery, last_call: FindLastCall, retry_window: timedelta) -> Decision:
    request, event, origin = delivery.request, delivery.event, delivery.origin
    if request is not None and request.keyless and retry_window:
        call = last_call(event.mentor_id, origin.topic)
        if call is not None and call.is_retried_by(request.caller, event.digest, origin.appended_at, retry_window):
            return AnswerFromEarlier(call.dispatch_id)
    return Process(new_dispatch(delivery))


def new_dispatch(delivery: Delivery) -> Dispatch:
    """Return the dispatch of an event that is new."""
    return Dispatch.of(delivery.event, delivery.origin, delivery.request)


def retry_dispatch(delivery: Delivery, first: Dispatch, now: datetime) -> Dispatch:
    """Return the final dispatch of a repeated call: its own id, and the recipients of the first call."""
    dispatch = replace(new_dispatch(delivery), recipients=first.recipients, retry_of=first.dispatch_id, ended_at=now)
    return dispatch.seen(delivery.origin.topic, delivery.origin.offset)


def reopen(dispatch: Dispatch, *, replay: bool, as_of: Dispatch | None = None) -> Dispatch | None:
    """
    Return a final dispatch with the recipients reopened that may be tried again, or None if there are none.

    A replay reopens recipients that failed, are unknown or are suppressed because of their address: a person may have
    taken it off the list. Any other delivery reopens those that used up their attempts. A replay made *as_of* a state
    leaves recipients alone that were tried again since, so that the same replay published twice does no harm.
    """
    if dispatch.retry_of is not None:
        return None
    if not dispatch.recipients:
        if as_of is not None and _processed_since(dispatch, as_of):
            return None
        return replace(dispatch, unknown_mentor=False, ended_at=None)
    asked = [r for r in dispatch.recipients if as_of is None or _round_of(r.contact_id, as_of) == r.round]
    recipients = [_reopened(recipient) for recipient in asked if _may_reopen(recipient, replay=replay)]
    if not recipients:
        return None
    return replace(dispatch.with_recipients(recipients), ended_at=None)


def _processed_since(dispatch: Dispatch, as_of: Dispatch) -> bool:
    """Return whether a delivery was processed since: without recipients, only this shows that it was tried again."""
    return any(as_of.seen_through.get(topic, -1) < offset for topic, offset in dispatch.seen_through.items())


def _round_of(contact_id: str, dispatch: Dispatch) -> int | None:
    return next((recipient.round for recipient in dispatch.recipients if recipient.contact_id == contact_id), None)


def _may_reopen(recipient: Recipient, *, replay: bool) -> bool:
    if replay:
        return recipient.status in {Status.FAILED, Status.UNKNOWN} or has_suppressed_address(recipient)
    return recipient.status is Status.FAILED and recipient.reason is Reason.ATTEMPTS_EXHAUSTED


def _reopened(recipient: Recipient) -> Recipient:
    return replace(
        recipient,
        status=Status.PENDING,
        reason=Reason.REOPENED,
        field=None,
        at=None,
        round=recipient.round + 1,
        attempts=0,
        answers_lost=0,
    )


def due(dispatch: Dispatch) -> list[Recipient]:
    """Return the recipients that are still to be sent to."""
    return [recipient for recipient in dispatch.recipients if recipient.status is Status.PENDING]


def spent(dispatch: Dispatch) -> int:
    """Count what the recipients have used up: attempts charged and answers lost."""
    return sum(recipient.attempts + recipient.answers_lost for recipient in dispatch.recipients)


def is_settled_by_feedback(recipient: Recipient) -> bool:
    """
    Return whether feedback about a recipient shows what no answer did: that SES has an e-mail to them.

    Whoever is due is included, whatever became of the last try: an earlier one may have lost its answer.
    """
    return recipient.status in {Status.PENDING, Status.UNKNOWN}


def is_settled(dispatch: Dispatch, sending: Iterable[Recipient]) -> bool:
    """Return whether feedback has settled any of the recipients who are about to be sent to."""
    settled = {one.contact_id for one in dispatch.recipients if one.status is Status.SENT}
    return any(one.contact_id in settled for one in sending)


def reconciled_at(dispatch: Dispatch, patience: timedelta) -> datetime | None:
    """Return when to stop waiting for feedback about a due recipient, and send again; None if none is waited for."""
    waiting = [one for one in due(dispatch) if one.reason is Reason.ANSWER_LOST]
    return max((one.at + patience for one in waiting if one.at is not None), default=None)


def in_doubt(dispatch: Dispatch) -> list[Recipient]:
    """Return the recipients whose send began and whose answer is not known."""
    return [recipient for recipient in dispatch.recipients if recipient.status is Status.SENDING]


def expire(delivery: Delivery, dispatch: Dispatch, now: datetime, max_age: timedelta | None) -> Dispatch:
    """
    Return the dispatch with its due recipients expired, if its notice is no longer true, or the event is too old.

    The age counts from the append: a producer's clock may be wrong. A person who replays an event knows its age.
    """
    true_until = delivery.event.true_until(delivery.appended_at)
    untrue = true_until is not None and now > true_until
    too_old = max_age is not None and not delivery.replay and now - delivery.appended_at > max_age
    if not (untrue or too_old):
        return dispatch
    return dispatch.with_recipients(ended(r, Status.EXPIRED, Reason.TOO_LATE, now) for r in due(dispatch))


def cancel(dispatch: Dispatch, now: datetime) -> Dispatch:
    """
    Return the dispatch of a cancelled event with its due recipients ended.

    An e-mail whose answer was lost may have been sent. So it is `unknown`, and not sent again.
    """
    return dispatch.with_recipients(
        ended(one, Status.UNKNOWN, Reason.ANSWER_LOST, now)
        if one.answers_lost
        else ended(one, Status.SUPPRESSED, Reason.CANCELLED, now)
        for one in due(dispatch)
    )


def has_suppressed_address(recipient: Recipient) -> bool:
    """Return whether a recipient gets no e-mail because of the address, and not because of an earlier e-mail."""
    return recipient.status is Status.SUPPRESSED and recipient.reason in _OF_ADDRESSES


def unreached_mentor(dispatch: Dispatch) -> Reason | None:
    """Return why the mentor of a dispatch gets no e-mail, if the address is the cause: the coordinator is told."""
    mentors = (one for one in dispatch.recipients if one.role is Role.MENTOR)
    return next((one.reason for one in mentors if has_suppressed_address(one) or _has_no_address(one)), None)


def _has_no_address(recipient: Recipient) -> bool:
    return recipient.status is Status.FAILED and recipient.reason in _NO_ADDRESS


def dead_letter_reason(dispatch: Dispatch) -> DeadLetterReason | None:
    """
    Return why a final dispatch needs a dead letter, or None if it needs none.

    A suppressed recipient needs none. It is no fault to mend: a list says so, and the coordinator is told. If that is
    not possible a dead letter is needed, since nobody else is left to hear of it. What operators want needs none.
    """
    escalation = dispatch.event_type == UNDELIVERED.type
    if not dispatch.recipients:
        return DeadLetterReason.COORDINATOR_UNREACHABLE if escalation else DeadLetterReason.UNKNOWN_MENTOR
    statuses = {recipient.status for recipient in dispatch.recipients}
    if Status.UNKNOWN in statuses:
        return DeadLetterReason.UNKNOWN
    if Status.FAILED in statuses:
        return DeadLetterReason.FAILED
    coordinators = (one for one in dispatch.recipients if one.role is Role.COORDINATOR)
    suppressed = any(one.status is Status.SUPPRESSED and one.reason not in _BY_OPERATOR for one in coordinators)
    untold = suppressed and (escalation or unreached_mentor(dispatch) is not None)
    return DeadLetterReason.COORDINATOR_UNREACHABLE if untold else None


def begin(recipients: Iterable[Recipient], now: datetime) -> list[Recipient]:
    """Return the recipients at `sending`, as the intent records them."""
    return [
        replace(recipient, status=Status.SENDING, reason=None, at=now, send=recipient.send + 1)
        for recipient in recipients
    ]


def not_called(recipients: Iterable[Recipient]) -> list[Recipient]:
    """Return recipients who were not sent to, though their intent was written or may have been."""
    return [replace(one, status=Status.PENDING, reason=Reason.NOT_CALLED, at=None) for one in recipients]


def ended(recipient: Recipient, status: Status, reason: Reason | None, now: datetime, **more: str | None) -> Recipient:
    """Return the recipient in a final status; *more* are further fields."""
    return replace(recipient, status=status, reason=reason, at=now, **more)


def sent(recipient: Recipient, message_id: str, now: datetime) -> Recipient:
    """Return the recipient whose e-mail the provider accepted."""
    return ended(recipient, Status.SENT, None, now, message_id=message_id)


def lost(recipient: Recipient, policy: LostAnswerPolicy, now: datetime) -> Recipient:
    """Return the recipient after a lost answer: the first is sent again unless `hold`; any other is unknown."""
    counted = replace(recipient, answers_lost=recipient.answers_lost + 1)
    if policy is not LostAnswerPolicy.HOLD and counted.answers_lost == 1:
        return replace(counted, status=Status.PENDING, reason=Reason.ANSWER_LOST, at=now)
    return ended(counted, Status.UNKNOWN, Reason.ANSWER_LOST, now)


def not_sent(
    recipient: Recipient, error: EmailError, now: datetime, *, policy: LostAnswerPolicy, charge: bool, max_attempts: int
) -> Recipient:
    """
    Return the recipient after a send that ended in *error*.

    A throttle, a halt and a lost answer charge no attempt. Another failure charges one if *charge* is set: SES accepted
    other mail meanwhile. So an outage uses up no attempts.
    """
    if isinstance(error, AnswerLost):
        return lost(recipient, policy, now)
    if isinstance(error, Refused):
        return ended(recipient, Status.FAILED, error.reason, now)
    if isinstance(error, Throttled | Halted):
        reason = Reason.HALTED if isinstance(error, Halted) else Reason.THROTTLED
        return replace(recipient, status=Status.PENDING, reason=reason, at=now)
    attempts = recipient.attempts + charge
    tried = replace(recipient, attempts=attempts)
    if attempts >= max_attempts:
        return ended(tried, Status.FAILED, Reason.ATTEMPTS_EXHAUSTED, now)
    return replace(tried, status=Status.PENDING, reason=Reason.NOT_ACCEPTED, at=now)
