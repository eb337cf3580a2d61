"""Answers of SES that were lost: by a former owner, whose outcome never came into the log, or on the way here."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from consumers.delivery import decisions
from consumers.delivery.dispatch_store import DispatchStore
from consumers.delivery.rules import Rules
from consumers.delivery.work import Work
from consumers.metrics import Metrics
from runtime.clock import Clock
from runtime.settings import LostAnswerPolicy
from schemas.dispatch import Dispatch

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.25


@dataclass
class LostAnswers:
    """Decides about recipients that a former owner left at `sending`, and waits for feedback of a send in doubt."""

    rules: Rules
    clock: Clock
    store: DispatchStore
    metrics: Metrics

    async def reconcile(self, work: Work, dispatch: Dispatch) -> Dispatch:
        """
        Return the dispatch once feedback has settled its lost answers, or once it was waited for long enough.

        The partition's feedback is handled beside this lane, and settles them in the ledger. What is not settled then
        is due, and is sent again. A new owner first reads what feedback there is, since the wait may be over already.
        """
        if self.rules.lost_answer_policy is not LostAnswerPolicy.RECONCILE:
            return dispatch
        ends = decisions.reconciled_at(dispatch, self.rules.reconcile)
        if ends is None:
            return dispatch
        while ends is not None and (self.clock.now() < ends or self._is_unread(work)):
            work.assignment.check()
            await self.clock.sleep(_LOOK_SECONDS)
            dispatch = await self.store.caught_up(work.assignment, dispatch)
            ends = decisions.reconciled_at(dispatch, self.rules.reconcile)
        lost = sum(recipient.answers_lost for recipient in decisions.due(dispatch))
        if ends is not None and lost > work.repeated:
            log.warning("dispatch.answer_not_settled", dispatch=dispatch.dispatch_id)
            self.metrics.lost_answers_settled.labels(by="resending").inc(lost - work.repeated)
            work.repeated = lost
        return dispatch

    def _is_unread(self, work: Work) -> bool:
        """Return whether feedback from before the opening may still settle it; not for longer than for any feedback."""
        assignment = work.assignment
        waited = self.clock.monotonic() - assignment.opened_at
        unread = not assignment.has_read_feedback_of(work.event.dispatch_id)
        return unread and waited < self.rules.reconcile.total_seconds()

    async def count(self, work: Work, dispatch: Dispatch) -> Dispatch:
        """
        Count the lost answers once the former owner can no longer be writing them.

        The wait begins now: a former owner that was frozen may have begun its send a moment ago.
        """
        work.assignment.check()
        await self.clock.sleep(self.rules.ses_timeout_seconds + self.rules.record_deadline_seconds)
        dispatch = await self.store.caught_up(work.assignment, dispatch)
        doubtful = decisions.in_doubt(dispatch)
        if not doubtful:
            return dispatch
        now, policy = self.clock.now(), self.rules.lost_answer_policy
        dispatch = dispatch.with_recipients(decisions.lost(recipient, policy, now) for recipient in doubtful)
        log.warning("dispatch.answer_lost_by_owner", dispatch=dispatch.dispatch_id, recipients=len(doubtful))
        if not dispatch.final:
            with work.assignment.uninterruptible():
                await self.store.write(work.assignment, dispatch)
        return dispatch
