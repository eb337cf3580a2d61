"""
Processes one record, from the head of its lane to one final dispatch.

The order is the design: permit at the gate, intent (`sending`) durable, call of SES, dead letter of a failure durable,
outcome durable. Each step is durable before the next. The replica commits the offset later.
"""

from __future__ import annotations

import asyncio

import structlog

from consumers.assignment.assignment import Assignment
from consumers.delivery import decisions
from consumers.delivery.attempt import Attempt
from consumers.delivery.decisions import AlreadyProcessed, AnswerFromEarlier, Conflicting, Process, RepublishOutcome
from consumers.delivery.dispatch_store import DispatchStore
from consumers.delivery.intake import Intake
from consumers.delivery.lost_answers import LostAnswers
from consumers.delivery.outcomes import Outcomes
from consumers.delivery.recipients import Recipients
from consumers.delivery.retry_delay import RetryDelay
from consumers.delivery.rules import Rules
from consumers.delivery.work import Work
from runtime.kafka.records import Record
from schemas.dispatch import Dispatch

log = structlog.get_logger(__name__)

_UNSENT_AT_ONCE = 16


class Processor:
    """Decides what a record calls for, and has it done."""

    def __init__(
        self,
        rules: Rules,
        intake: Intake,
        store: DispatchStore,
        recipients: Recipients,
        lost_answers: LostAnswers,
        attempt: Attempt,
        outcomes: Outcomes,
        retry_delay: RetryDelay,
    ) -> None:
        self._rules = rules
        self._intake = intake
        self._store = store
        self._recipients = recipients
        self._lost_answers = lost_answers
        self._attempt = attempt
        self._outcomes = outcomes
        self._retry_delay = retry_delay
        self._unsent = asyncio.Semaphore(_UNSENT_AT_ONCE)

    async def process(self, record: Record, assignment: Assignment) -> None:
        """Process a record to its end. Raise Revoked if the partition is revoked meanwhile."""
        work = await self._intake.read(record, assignment)
        if work is None:
            return
        dispatch_id = work.event.dispatch_id
        entry = assignment.ledger.get(dispatch_id)
        if entry is not None and entry.final and entry.has_seen(record.topic, record.offset):
            return
        known = await self._store.known(assignment, dispatch_id)
        if known is None and assignment.ledger.get(dispatch_id) is not None:
            # It was final, and its record is lost or not readable: sending once more would be worse.
            log.error("ledger.record_gone", dispatch=dispatch_id, partition=assignment.number)
            return
        self._recipients.bound_replay(work, known)
        await self._act(work, known)

    async def _act(self, work: Work, known: Dispatch | None) -> None:
        assignment = work.assignment
        last_call = assignment.ledger.last_call(work.event.mentor_id, work.record.topic)
        match decisions.decide(work.delivery, known, last_call, self._rules.retry_window):
            case AlreadyProcessed():
                return
            case RepublishOutcome(dispatch):
                with assignment.uninterruptible():
                    await self._store.write(assignment, dispatch)
            case Conflicting(dispatch):
                with assignment.uninterruptible():
                    await self._outcomes.record_conflict(work, dispatch)
            case AnswerFromEarlier(first_id):
                await self._answer_from_earlier(work, first_id)
            case Process(dispatch):
                await self._deliver(work, dispatch)

    async def _answer_from_earlier(self, work: Work, first_id: str) -> None:
        first = await self._store.known(work.assignment, first_id)
        if first is None or not first.final:
            await self._deliver(work, decisions.new_dispatch(work.delivery))
            return
        with work.assignment.uninterruptible():
            await self._outcomes.record_answer(work, first)

    async def _deliver(self, work: Work, dispatch: Dispatch) -> None:
        """Try until every recipient is final."""
        if not dispatch.recipients:
            dispatch = await self._recipients.name(work, dispatch)
        while True:
            before = dispatch = await self._lost_answers.count(work, dispatch)
            if dispatch.final:
                await self._end_unsent(work, dispatch)
                return
            dispatch = await self._attempt.run(work, dispatch)
            if dispatch.final:
                return
            free = decisions.spent(dispatch) == decisions.spent(before)
            await self._retry_delay.wait(work, dispatch, free=free)

    async def _end_unsent(self, work: Work, dispatch: Dispatch) -> None:
        """Record a dispatch that ends without a send. A few at a time: thousands would delay those to be sent."""
        with work.assignment.lanes.parking(work.record):
            await self._unsent.acquire()
        try:
            with work.assignment.uninterruptible():
                await self._outcomes.record(work, dispatch)
        finally:
            self._unsent.release()
