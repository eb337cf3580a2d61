"""Tells the coordinator that a mentor could not be reached: an event of its own, once for each dispatch."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from consumers.assignment.assignment import Assignment
from consumers.contacts import Contacts
from consumers.delivery import decisions
from consumers.delivery.recipients import readable
from consumers.metrics import Metrics
from consumers.steps import Reached, Step
from runtime.kafka.publisher import Publisher
from runtime.kafka.topics import Topics
from schemas.cloudevents import encode_binary
from schemas.dispatch import Dispatch, Reason, Recipient, Status
from schemas.events import REPLICA_SOURCE, UNDELIVERED, Cause, Event, NoticeUndelivered, Role
from schemas.feedback import Feedback, FeedbackState
from schemas.signatures import SigningKeys

log = structlog.get_logger(__name__)

_REMEMBERED = 1000
_ID_OF = "undelivered-"
_REFUSED = frozenset(
    {Reason.MESSAGE_REJECTED, Reason.BAD_REQUEST, Reason.RECIPIENT_NOT_VERIFIED, Reason.RECIPIENT_NOT_ALLOWED}
)
_CAUSES = {
    FeedbackState.BOUNCED: Cause.BOUNCED,
    FeedbackState.REJECTED: Cause.REFUSED,
    FeedbackState.RENDERING_FAILED: Cause.REFUSED,
}


def cause_of_feedback(dispatch: Dispatch, recipient: Recipient, feedback: Feedback) -> Cause | None:
    """Return why the mentor was not reached, if feedback shows that, or None."""
    if recipient.role is not Role.MENTOR or is_escalation(dispatch):
        return None
    return _CAUSES.get(feedback.state)


def cause_of_outcome(dispatch: Dispatch) -> Cause | None:
    """
    Return why a final dispatch did not reach the mentor, or None if it did, or if the coordinator hears of it anyway.

    The coordinator's own copy says that the mentor's address is suppressed.
    """
    if is_escalation(dispatch):
        return None
    roles = {recipient.role: recipient for recipient in dispatch.recipients}
    mentor = roles.get(Role.MENTOR)
    if mentor is None:
        return None
    if decisions.has_suppressed_address(mentor) and Role.COORDINATOR not in roles:
        return Cause.SUPPRESSED
    return Cause.REFUSED if mentor.status is Status.FAILED and mentor.reason in _REFUSED else None


def is_escalation(dispatch: Dispatch) -> bool:
    """Return whether a dispatch is an escalation itself: it is never escalated."""
    return dispatch.event_type == UNDELIVERED.type


def escalation_of(dispatch: Dispatch, cause: Cause, at: datetime) -> Event:
    """Return the event. Its identity is the dispatch's, so a repetition is the same event."""
    data = NoticeUndelivered(mentor_id=dispatch.mentor_id, notice=dispatch.event_type, cause=cause)
    return Event(UNDELIVERED, f"{_ID_OF}{dispatch.dispatch_id}", REPLICA_SOURCE, data, time=at)


def repeatable_notice(event: Event) -> str | None:
    """
    Return the id of the dispatch that an escalation is about, if a replay of that would send the mentor's e-mail.

    Return None for other events, and if the e-mail bounced: it counts as sent, and no replay sends it again.
    """
    data = event.data
    if event.source != REPLICA_SOURCE or not isinstance(data, NoticeUndelivered) or data.cause is Cause.BOUNCED:
        return None
    return event.id.removeprefix(_ID_OF)


@dataclass
class Escalation:
    """Publishes escalations. *publisher* retries until they are durable."""

    publisher: Publisher
    topics: Topics
    keys: SigningKeys
    contacts: Contacts
    metrics: Metrics
    reached: Reached
    enabled: bool
    _published: OrderedDict[str, None] = field(default_factory=OrderedDict, init=False)

    async def escalate(self, assignment: Assignment, dispatch: Dispatch, cause: Cause, at: datetime) -> bool:
        """
        Tell the mentor's coordinator, unless that was done before. Call it inside `Assignment.uninterruptible`.

        Return False if there is no coordinator: then a dead letter must be written.
        """
        event = escalation_of(dispatch, cause, at)
        known = assignment.ledger.get(event.dispatch_id) is not None or event.dispatch_id in self._published
        if known or not self.enabled:
            return True
        mentor = self.contacts.get(dispatch.mentor_id)
        coordinator = None if mentor is None else readable(mentor).coordinator_id
        if coordinator in {None, dispatch.mentor_id}:
            self.metrics.escalations.labels(outcome="no_coordinator").inc()
            log.warning("escalation.no_coordinator", dispatch=dispatch.dispatch_id, cause=cause.value)
            return False
        record = encode_binary(event)
        topic = self.topics.named(UNDELIVERED.topic)
        headers = self.keys.signed(topic, record.key, record.value, record.headers)
        await self.publisher.publish(topic, assignment.number, key=record.key, value=record.value, headers=headers)
        self.metrics.escalations.labels(outcome="published").inc()
        log.info("escalation.published", dispatch=dispatch.dispatch_id, cause=cause.value, by=event.dispatch_id)
        self._remember(event.dispatch_id)
        self.reached(Step.ESCALATED, dispatch.dispatch_id)
        return True

    def _remember(self, dispatch_id: str) -> None:
        """Remember what was published: the ledger knows of it only once it is processed."""
        self._published[dispatch_id] = None
        while len(self._published) > _REMEMBERED:
            self._published.popitem(last=False)
