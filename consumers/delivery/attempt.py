"""
One try to send a dispatch: permit, intent, sends, outcome.

The intent (`sending`) is durable before SES is called, and the outcome is durable before the try ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from consumers.admission.gate import Gate, Permit
from consumers.assignment.assignment import Assignment
from consumers.delivery import decisions
from consumers.delivery.composer import Composed, Composer
from consumers.delivery.control_check import ControlCheck
from consumers.delivery.dispatch_store import DispatchStore
from consumers.delivery.outcomes import Outcomes
from consumers.delivery.recipient_limit import RecipientLimit
from consumers.delivery.rules import Rules
from consumers.delivery.slow_sources import SlowSources
from consumers.delivery.work import Work
from consumers.email import Email, EmailError, EmailSender, Throttled
from consumers.metrics import Metrics
from consumers.steps import Reached, Step
from runtime.clock import Clock
from runtime.kafka.publisher import NotPublished, PublishError
from schemas.dispatch import Dispatch, Recipient

log = structlog.get_logger(__name__)


@dataclass
class Sends:
    """Hands the e-mails of a dispatch to the provider, and says what each answer means for its recipient."""

    rules: Rules
    clock: Clock
    gate: Gate
    sender: EmailSender
    recipient_limit: RecipientLimit
    metrics: Metrics
    reached: Reached
    _abandoned: set[asyncio.Task[str | EmailError]] = field(default_factory=set, init=False)

    async def send_all(self, work: Work, sending: list[Recipient], emails: list[Email]) -> list[Recipient]:
        """Send each of *sending* its e-mail, side by side. Return them as the answers leave them."""
        previous, work.tried_at = work.tried_at, self.clock.monotonic()
        results = await self._results([asyncio.create_task(self._send(work, email)) for email in emails])
        self.reached(Step.ANSWERED, work.event.dispatch_id)
        # An outage must cost no attempts: a failure counts only when SES accepted other mail since the previous try.
        charge = self.gate.accepted_at > previous
        pairs = zip(sending, results, strict=True)
        return [self._outcome(work, recipient, result, charge=charge) for recipient, result in pairs]

    async def _results(self, calls: list[asyncio.Task[str | EmailError]]) -> list[str | EmailError]:
        """Wait for calls. None is ever cancelled: at the end of a drain, when the lane is, they go on without it."""
        try:
            await asyncio.wait(calls)  # unlike `gather`, it leaves the calls alone when it is cancelled
        except asyncio.CancelledError:
            for call in calls:
                self._abandoned.add(call)
                call.add_done_callback(self._abandoned.discard)
            raise
        return [call.result() for call in calls]

    async def _send(self, work: Work, email: Email) -> str | EmailError:
        began = self.clock.monotonic()
        result: str | EmailError
        try:
            result = await self.sender.send(email)
        except EmailError as error:
            log.warning("send.failed", dispatch=work.event.dispatch_id, error=type(error).__name__, detail=str(error))
            if isinstance(error, Throttled):
                self.metrics.throttles.inc()
            result = error
        else:
            log.debug("send.accepted", dispatch=work.event.dispatch_id, message_id=result)
        finally:
            self.metrics.ses_seconds.observe(self.clock.monotonic() - began)
        self.gate.report(work.event.mentor_id, result if isinstance(result, EmailError) else None)
        return result

    def _outcome(self, work: Work, recipient: Recipient, result: str | EmailError, *, charge: bool) -> Recipient:
        now = self.clock.now()
        if isinstance(result, str):
            request = work.delivery.request
            caller = None if request is None else request.caller
            self.recipient_limit.sent(recipient.contact_id, source=work.event.source, caller=caller)
            return decisions.sent(recipient, result, now)
        policy, max_attempts = self.rules.lost_answer_policy, self.rules.max_attempts
        return decisions.not_sent(recipient, result, now, policy=policy, charge=charge, max_attempts=max_attempts)


@dataclass
class Ownership:
    """Whether this replica may still send for an assignment."""

    rules: Rules
    clock: Clock
    last_heartbeat: Callable[[], float]

    def is_over(self, assignment: Assignment) -> bool:
        """Return whether another replica may own the partition by now."""
        silent = self.clock.monotonic() - self.last_heartbeat()
        return assignment.gone or silent > self.rules.zombie_after_seconds


@dataclass
class IntendedSends:
    """Makes the intent durable, calls SES if this replica may still send, and makes the outcome durable."""

    clock: Clock
    gate: Gate
    store: DispatchStore
    sends: Sends
    outcomes: Outcomes
    ownership: Ownership

    async def run(self, work: Work, composed: Composed) -> Dispatch:
        """Send what was composed, and return the new state. It is durable, unless nothing was sent."""
        sending = decisions.begin(composed.recipients, self.clock.now())
        intent = composed.dispatch.with_recipients(sending)
        try:
            await self.store.write_intent(work.assignment, intent)
        except PublishError as error:
            log.warning("dispatch.intent_not_durable", dispatch=intent.dispatch_id, error=type(error).__name__)
            withdrawn = intent.with_recipients(decisions.not_called(sending))
            if isinstance(error, NotPublished) or self.ownership.is_over(work.assignment):
                return withdrawn
            # The intent may be in the log. Unless it is withdrawn, the next owner counts a lost answer for no call.
            return await self.outcomes.record(work, withdrawn)
        if self.ownership.is_over(work.assignment):
            log.error("dispatch.not_called", dispatch=intent.dispatch_id, partition=work.assignment.number)
            return await self.outcomes.record(work, intent.with_recipients(decisions.not_called(sending)))
        if self.gate.stopped or self._is_settled(work.assignment, intent, sending):
            return await self.outcomes.record(work, intent.with_recipients(decisions.not_called(sending)))
        answered = await self.sends.send_all(work, sending, composed.emails)
        return await self.outcomes.record(work, intent.with_recipients(answered))

    def _is_settled(self, assignment: Assignment, intent: Dispatch, sending: list[Recipient]) -> bool:
        """Return whether feedback settled the dispatch while its intent was written; nothing is read for it."""
        entry = assignment.ledger.get(intent.dispatch_id)
        ended = entry is not None and entry.final
        return ended or decisions.is_settled(self.store.merged(assignment, intent), sending)


@dataclass
class Attempt:
    """Sends to all recipients of a dispatch that are due."""

    gate: Gate
    slow_sources: SlowSources
    control_check: ControlCheck
    composer: Composer
    store: DispatchStore
    sends: IntendedSends
    outcomes: Outcomes

    async def run(self, work: Work, dispatch: Dispatch) -> Dispatch:
        """
        Wait at the gate, send to all who are due, and return the new state. It is durable, unless nothing was sent.

        Raise ControlsChanged if a control that came meanwhile concerns the event.
        """
        due = decisions.due(dispatch)
        permit = Permit(
            mentor_id=dispatch.mentor_id,
            emails=len(due),
            waits_until=work.waits_until,
            answer_was_lost=any(recipient.answers_lost for recipient in due),
        )
        work.assignment.check()
        async with self.control_check.interruptible(work):
            await self.slow_sources.enter(work, permit)
        with work.assignment.uninterruptible(), self.gate.leaving(permit):
            dispatch = await self.store.caught_up(work.assignment, dispatch)
            self.control_check.recheck(work)
            return await self._permitted(work, dispatch)

    async def _permitted(self, work: Work, dispatch: Dispatch) -> Dispatch:
        if self.sends.ownership.is_over(work.assignment):
            return dispatch  # a record written now could reach the next owner late and reopen what has ended
        composed = self.composer.compose(work.delivery, work.assignment.number, dispatch)
        if composed is None:
            return dispatch
        if not composed.emails:
            return await self.outcomes.record(work, composed.dispatch)
        return await self.sends.run(work, composed)
