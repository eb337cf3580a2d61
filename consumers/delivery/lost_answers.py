"""Answers of SES that a former owner lost: it began a send, and its outcome never came into the log."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from consumers.delivery import decisions
from consumers.delivery.dispatch_store import DispatchStore
from consumers.delivery.rules import Rules
from consumers.delivery.work import Work
from runtime.clock import Clock
from schemas.dispatch import Dispatch

log = structlog.get_logger(__name__)


@dataclass
class LostAnswers:
    """Decides about recipients that a former owner left at `sending`."""

    rules: Rules
    clock: Clock
    store: DispatchStore

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
