"""Makes a new state of a dispatch durable: a final one after the dead letter that it may need."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from consumers.delivery import decisions
from consumers.delivery.dead_letters import DeadLetters
from consumers.delivery.dispatch_store import DispatchStore
from consumers.delivery.escalation import Escalation, cause_of_outcome
from consumers.delivery.event_headers import trace_parent
from consumers.delivery.unconfirmed import Unconfirmed
from consumers.delivery.work import Work
from consumers.metrics import Metrics
from runtime.clock import Clock
from schemas.dead_letters import DeadLetterReason
from schemas.dispatch import Dispatch
from schemas.events import FACADE_SOURCE

log = structlog.get_logger(__name__)


@dataclass
class Outcomes:
    """Records what became of a dispatch. Call its methods inside `Assignment.uninterruptible`."""

    store: DispatchStore
    dead_letters: DeadLetters
    clock: Clock
    metrics: Metrics
    escalation: Escalation
    unconfirmed: Unconfirmed

    async def record(self, work: Work, dispatch: Dispatch) -> Dispatch:
        """Make a state durable and return it, merged with what a former owner wrote meanwhile."""
        dispatch = self.store.merged(work.assignment, dispatch)
        if not dispatch.final:
            await self.store.write(work.assignment, dispatch)
            return dispatch
        final = dispatch.seen(work.record.topic, work.record.offset, ended_at=self.clock.now())
        reason = decisions.dead_letter_reason(final)
        cause = cause_of_outcome(final)
        told = cause is None or await self.escalation.escalate(work.assignment, final, cause, self.clock.now())
        if not told and reason is None:
            reason = DeadLetterReason.COORDINATOR_UNREACHABLE
        if reason is DeadLetterReason.COORDINATOR_UNREACHABLE and told:
            self.metrics.escalations.labels(outcome="coordinator_unreachable").inc()
        if reason is not None:
            await self.dead_letters.dispatch(work, reason, final)
        self.unconfirmed.sent(final)
        await self.store.write(work.assignment, final)
        waited = self.clock.now() - work.record.appended_at
        self.metrics.dispatch_seconds.observe(max(waited.total_seconds(), 0.0))
        for recipient in final.recipients:
            self.metrics.outcomes.labels(status=recipient.status, reason=recipient.reason or "").inc()
        log.info(
            "dispatch.ended",
            dispatch=final.dispatch_id,
            type=final.event_type,
            partition=work.assignment.number,
            statuses=[recipient.status.value for recipient in final.recipients],
            trace=trace_parent(work.record),
        )
        return final

    async def record_conflict(self, work: Work, dispatch: Dispatch) -> None:
        """Dead-letter a delivery with other content than *dispatch*, unless a REST caller is answered anyway."""
        if work.event.source != FACADE_SOURCE:
            await self.dead_letters.dispatch(work, DeadLetterReason.CONFLICTING_DUPLICATE, dispatch)
        await self.store.write(work.assignment, dispatch)

    async def record_answer(self, work: Work, first: Dispatch) -> None:
        """Answer a repeated call with the recipients of its *first* dispatch."""
        await self.store.write(work.assignment, decisions.retry_dispatch(work.delivery, first, self.clock.now()))
