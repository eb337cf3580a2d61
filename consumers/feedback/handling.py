"""
What the owner of a partition does with a record of feedback: settle a lost answer, suppress an address, escalate.

A record about a recipient whose send is under way waits for its outcome, and its offset with it. So no evidence of a
send is passed over: neither by the replica that sends, nor by the next owner.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from consumers.assignment.assignment import Assignment
from consumers.delivery import decisions
from consumers.delivery.dead_letters import DeadLetters
from consumers.delivery.dispatch_store import DispatchStore
from consumers.delivery.escalation import Escalation, cause_of_feedback, is_escalation
from consumers.delivery.unconfirmed import Unconfirmed
from consumers.feedback.suppressing import Suppressing
from consumers.metrics import Metrics
from consumers.steps import Reached, Step
from runtime.clock import Clock
from runtime.kafka.records import Record
from runtime.rarely import Rarely
from runtime.signing_keys import proof_of
from schemas.dead_letters import DeadLetter, DeadLetterReason
from schemas.dispatch import Dispatch, Recipient, Status
from schemas.feedback import Feedback, FeedbackKind, FeedbackState, parse_feedback, recipient_tag
from schemas.signatures import SigningKeys

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.2
_GOOD_NEWS = frozenset({FeedbackKind.SEND, FeedbackKind.DELIVERY, FeedbackKind.DELIVERY_DELAY})
"""Nearly all feedback: it is handled without reading the dispatch back, unless an answer was lost."""


@dataclass
class FeedbackHandling:
    """Handles records of the topic of feedback."""

    store: DispatchStore
    suppressing: Suppressing
    escalation: Escalation
    unconfirmed: Unconfirmed
    dead_letters: DeadLetters
    keys: SigningKeys
    clock: Clock
    metrics: Metrics
    reached: Reached
    _rarely: Rarely = field(init=False)

    def __post_init__(self) -> None:
        self._rarely = Rarely(self.clock)

    async def process(self, record: Record, assignment: Assignment) -> None:
        """Process a record to its end. Raise Revoked if the partition is revoked meanwhile."""
        if not proof_of(record, self.keys).counts:
            self._ignore("unproven", record)
            return
        feedback = parse_feedback(record.key, record.value)
        if feedback is None:
            detail = "the value is no feedback, or the key is not its dispatch's id"
            await self.dead_letters.record(assignment, record, DeadLetterReason.INVALID_FEEDBACK, detail)
            return
        if self._changes_nothing(assignment, feedback):
            self._count(feedback)
            return
        found = await self._settled_send(assignment, feedback)
        if found is None:
            self._ignore("unknown_dispatch", record)
            return
        self._count(feedback)
        await self._act(record, assignment, feedback, *found)

    def _changes_nothing(self, assignment: Assignment, feedback: Feedback) -> bool:
        """Return whether it is known, without reading the dispatch, that its e-mail went out and nothing follows."""
        return (
            feedback.kind in _GOOD_NEWS
            and assignment.ledger.is_settled(feedback.dispatch_id)
            and not self.suppressing.may_concern(feedback)
        )

    async def _settled_send(self, assignment: Assignment, feedback: Feedback) -> tuple[Dispatch, Recipient] | None:
        """Return the dispatch and the recipient, once no send to them is under way; None if they are not known."""
        while True:
            dispatch = await self.store.known(assignment, feedback.dispatch_id)
            recipient = None if dispatch is None else _recipient(dispatch, feedback)
            if dispatch is None or recipient is None:
                return None
            if recipient.status is not Status.SENDING:
                return dispatch, recipient
            assignment.check()
            await self.clock.sleep(_LOOK_SECONDS)

    async def _act(
        self, record: Record, assignment: Assignment, feedback: Feedback, dispatch: Dispatch, recipient: Recipient
    ) -> None:
        if decisions.is_settled_by_feedback(recipient):
            dispatch, recipient = await self._settle(assignment, feedback, dispatch, recipient)
        if recipient.message_id not in {None, feedback.message_id}:
            self._ignore("another_email", record)
            return
        with assignment.uninterruptible():
            await self.suppressing.apply(feedback, recipient.contact_id)
            cause = cause_of_feedback(dispatch, recipient, feedback)
            if cause is not None:
                if not await self.escalation.escalate(assignment, dispatch, cause, feedback.at):
                    await self._report_unreachable(record, dispatch)
            elif is_escalation(dispatch) and feedback.state is FeedbackState.BOUNCED:
                self.metrics.escalations.labels(outcome="coordinator_unreachable").inc()
                await self._report_unreachable(record, dispatch)

    async def _settle(
        self, assignment: Assignment, feedback: Feedback, dispatch: Dispatch, recipient: Recipient
    ) -> tuple[Dispatch, Recipient]:
        """Record that SES has the e-mail."""
        settled = decisions.sent(recipient, feedback.message_id, feedback.at)
        with assignment.uninterruptible():
            dispatch = dispatch.with_recipients([settled])
            await self.store.write(assignment, dispatch)
        self.metrics.lost_answers_settled.labels(by="feedback").inc()
        log.info("dispatch.answer_settled", dispatch=dispatch.dispatch_id, kind=feedback.kind.value)
        self.reached(Step.SETTLED, dispatch.dispatch_id)
        return dispatch, settled

    async def _report_unreachable(self, record: Record, dispatch: Dispatch) -> None:
        """Keep it for a person: neither the mentor nor a coordinator can be reached."""
        reason = DeadLetterReason.COORDINATOR_UNREACHABLE
        await self.dead_letters.keep(
            DeadLetter(reason, record.origin, record.key, record.value, record.headers, "", dispatch)
        )

    def _count(self, feedback: Feedback) -> None:
        self.unconfirmed.heard(feedback.dispatch_id, feedback.recipient)
        type_ = (feedback.type or "") if feedback.state is FeedbackState.BOUNCED else ""
        self.metrics.feedback.labels(state=feedback.state, type=type_).inc()
        if feedback.kind is FeedbackKind.DELIVERY and feedback.sent_at is not None:
            self.metrics.delivery_seconds.observe(max((feedback.at - feedback.sent_at).total_seconds(), 0.0))

    def _ignore(self, reason: str, record: Record) -> None:
        self.metrics.feedback_ignored.labels(reason=reason).inc()
        if self._rarely.is_due(reason):
            log.warning("feedback.ignored", reason=reason, origin=str(record.position))


def _recipient(dispatch: Dispatch, feedback: Feedback) -> Recipient | None:
    return next((one for one in dispatch.recipients if recipient_tag(one.contact_id) == feedback.recipient), None)
