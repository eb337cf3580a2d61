"""
One try to send a dispatch: permit, intent, sends, outcome.

The intent (`sending`) is durable before SES is called, and the outcome is durable before the try ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from consumers.admission.gate import Gate, Permit
from consumers.assignment.assignment import Assignment
from consumers.delivery import decisions
from consumers.delivery.composer import Composer
from consumers.delivery.dispatch_store import DispatchStore
from consumers.delivery.outcomes import Outcomes
from consumers.delivery.rules import Rules
from consumers.delivery.sends import Sends
from consumers.delivery.work import Work
from consumers.email import Email
from runtime.clock import Clock
from runtime.kafka.publisher import NotPublished, PublishError
from schemas.dispatch import Dispatch

log = structlog.get_logger(__name__)


class Attempt:
    """Sends to all recipients of a dispatch that are due."""

    def __init__(
        self,
        rules: Rules,
        clock: Clock,
        gate: Gate,
        composer: Composer,
        store: DispatchStore,
        sends: Sends,
        outcomes: Outcomes,
        last_heartbeat: Callable[[], float],
    ) -> None:
        self._rules = rules
        self._clock = clock
        self._gate = gate
        self._composer = composer
        self._store = store
        self._sends = sends
        self._outcomes = outcomes
        self._last_heartbeat = last_heartbeat

    async def run(self, work: Work, dispatch: Dispatch) -> Dispatch:
        """Wait at the gate, send to all who are due, and return the state that is durable then."""
        due = decisions.due(dispatch)
        permit = Permit(
            mentor_id=dispatch.mentor_id,
            emails=len(due),
            waits_until=work.waits_until,
            answer_was_lost=any(recipient.answers_lost for recipient in due),
        )
        work.assignment.check()
        await self._gate.enter(permit)
        with work.assignment.uninterruptible(), self._gate.leaving(permit):
            return await self._permitted(work, await self._store.caught_up(work.assignment, dispatch))

    async def _permitted(self, work: Work, dispatch: Dispatch) -> Dispatch:
        if self._is_zombie(work.assignment):
            return dispatch  # a record written now could reach the next owner late and reopen what has ended
        if not self._composer.contacts_current:
            return dispatch  # the contacts topic was recreated: the known contacts may be out of date
        dispatch = decisions.expire(work.delivery, dispatch, self._clock.now())
        emails, dispatch = self._composer.compose(work.delivery, work.assignment.number, dispatch)
        if not emails:
            return await self._outcomes.record(work, dispatch)
        return await self._intend_and_send(work, dispatch, emails)

    async def _intend_and_send(self, work: Work, dispatch: Dispatch, emails: Mapping[str, Email]) -> Dispatch:
        """Make the intent durable; call SES if this replica may still send; make the outcome durable."""
        due = [recipient for recipient in decisions.due(dispatch) if recipient.contact_id in emails]
        sending = decisions.begin(due, self._clock.now())
        intent = dispatch.with_recipients(sending)
        withdrawn = intent.with_recipients(decisions.not_called(sending))
        try:
            await self._store.write_intent(work.assignment, intent)
        except PublishError as error:
            log.warning("dispatch.intent_not_durable", dispatch=dispatch.dispatch_id, error=type(error).__name__)
            if isinstance(error, NotPublished) or self._is_zombie(work.assignment):
                return withdrawn
            # The intent may be in the log. Unless it is withdrawn, the next owner counts a lost answer for no call.
            return await self._outcomes.record(work, withdrawn)
        if self._is_zombie(work.assignment):
            log.error("dispatch.not_called", dispatch=dispatch.dispatch_id, partition=work.assignment.number)
            return await self._outcomes.record(work, withdrawn)
        answered = await self._sends.send_all(work, sending, emails)
        return await self._outcomes.record(work, intent.with_recipients(answered))

    def _is_zombie(self, assignment: Assignment) -> bool:
        """Return whether another replica may own the partition by now."""
        silent = self._clock.monotonic() - self._last_heartbeat()
        return assignment.gone or silent > self._rules.zombie_after_seconds
