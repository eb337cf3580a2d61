"""
Processes one record, from the head of its lane to one final dispatch.

The order is the design: permit at the gate, intent (`sending`) durable, call of SES, dead letter of a failure durable,
outcome durable. Each step is durable before the next. The replica commits the offset later.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import structlog

from consumers.assignment.assignment import Assignment
from consumers.delivery import decisions
from consumers.delivery.attempt import Attempt
from consumers.delivery.control_check import ControlCheck, ControlsChanged
from consumers.delivery.dead_letters import DeadLetters
from consumers.delivery.decisions import AlreadyProcessed, AnswerFromEarlier, Conflicting, Process, RepublishOutcome
from consumers.delivery.dispatch_store import DispatchStore
from consumers.delivery.event_headers import read_delivery
from consumers.delivery.ignored_input import IgnoredInput
from consumers.delivery.lost_answers import LostAnswers
from consumers.delivery.outcomes import Outcomes
from consumers.delivery.recipients import Recipients
from consumers.delivery.relocation import Relocation
from consumers.delivery.retry_delay import RetryDelay
from consumers.delivery.rules import Rules
from consumers.delivery.signature_check import SignatureCheck
from consumers.delivery.work import Work
from consumers.ledger.entry import LedgerEntry
from consumers.metrics import Metrics
from consumers.steps import Reached, Step
from runtime.kafka.records import Record
from runtime.signing_keys import is_impostor
from schemas import headers as names
from schemas.cloudevents import NotAnEvent, decode
from schemas.dead_letters import DeadLetterReason
from schemas.dispatch import Dispatch

log = structlog.get_logger(__name__)

_UNSENT_AT_ONCE = 16


@dataclass
class Intake:
    """Reads the event that a record holds. An invalid, a forged and a misplaced record end here."""

    signature_check: SignatureCheck
    ignored_input: IgnoredInput
    dead_letters: DeadLetters
    relocation: Relocation
    reached: Reached

    async def read(self, record: Record, assignment: Assignment) -> Work | None:
        """Return the delivery to process, or None when the record was dead-lettered or moved."""
        self.reached(Step.TAKEN, str(record.position))
        try:
            event = decode(record.headers, record.value)
        except NotAnEvent as error:
            await self.dead_letters.record(assignment, record, error.reason, error.detail)
            return None
        proof, believed = self.signature_check.check(record, event)
        if is_impostor(event, proof):
            reason, detail = DeadLetterReason.UNPROVEN_SOURCE, f"{names.SIGNATURE}: {proof}"
            await self.dead_letters.record(assignment, record, reason, detail)
            return None
        if self.relocation.misplaced(record, event):
            with assignment.uninterruptible():
                await self.relocation.move(believed, event)
            return None
        if event.unknown_fields or event.time_unreadable:
            self.ignored_input.count(event)
        delivery, taken_at = read_delivery(believed, event), assignment.taken_at(record)
        waits_until = taken_at + delivery.waits_seconds if delivery.waits_seconds else 0.0
        return Work(record, event, delivery, assignment, waits_until, tried_at=taken_at)


@dataclass
class Processor:
    """Decides what a record calls for, and has it done."""

    rules: Rules
    intake: Intake
    store: DispatchStore
    recipients: Recipients
    lost_answers: LostAnswers
    control_check: ControlCheck
    attempt: Attempt
    outcomes: Outcomes
    retry_delay: RetryDelay
    metrics: Metrics
    _unsent: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_UNSENT_AT_ONCE), init=False)

    async def process(self, record: Record, assignment: Assignment) -> None:
        """
        Process a record to its end.

        Raise Revoked if the partition is revoked meanwhile, and LeftInLog if the event's source is held.
        """
        work = await self.intake.read(record, assignment)
        if work is None:
            return
        log.debug(
            "event.taken",
            dispatch=work.event.dispatch_id,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
        )
        self.control_check.check(work)
        entry = assignment.ledger.get(work.event.dispatch_id)
        if entry is None:
            await self._act(work, None)
        elif not (entry.final and entry.has_processed(record.topic, record.offset)):
            await self._act_on_known(work)

    async def _act_on_known(self, work: Work) -> None:
        assignment, dispatch_id = work.assignment, work.event.dispatch_id
        known, entry = await self.store.known(assignment, dispatch_id), assignment.ledger.get(dispatch_id)
        if known is None and entry is not None:
            await self._end_unread(work, entry)
            return
        await self._act(work, known)

    async def _end_unread(self, work: Work, entry: LedgerEntry) -> None:
        """
        End a delivery whose dispatch is final, and whose records are lost or not readable: never send it once more.

        If all that can be read is that it began, a person has to find out how it ended.
        """
        log.error("ledger.record_gone", dispatch=work.event.dispatch_id, partition=work.assignment.number)
        begun = entry.folded()
        if begun is not None and not begun.final:
            reason, detail = DeadLetterReason.UNKNOWN, "its dispatch began, and how it ended cannot be read"
            await self.intake.dead_letters.record(work.assignment, work.record, reason, detail)

    async def _act(self, work: Work, known: Dispatch | None) -> None:
        assignment = work.assignment
        if work.delivery.carried is not None:
            self.recipients.bound_replay(work, work.delivery.carried, known)
        match decisions.decide(work.delivery, known, assignment.ledger.last_call, self.rules.retry_window):
            case AlreadyProcessed():
                return
            case RepublishOutcome(dispatch):
                with assignment.uninterruptible():
                    await self.store.write(assignment, dispatch)
            case Conflicting(dispatch):
                with assignment.uninterruptible():
                    await self.outcomes.record_conflict(work, dispatch)
            case AnswerFromEarlier(first_id):
                await self._answer_from_earlier(work, first_id)
            case Process(dispatch):
                await self._deliver(work, dispatch)

    async def _answer_from_earlier(self, work: Work, first_id: str) -> None:
        first = await self.store.known(work.assignment, first_id)
        if first is None or not first.final:
            await self._deliver(work, decisions.new_dispatch(work.delivery))
            return
        with work.assignment.uninterruptible():
            await self.outcomes.record_answer(work, first)

    async def _deliver(self, work: Work, dispatch: Dispatch) -> None:
        """Try until every recipient is final."""
        if work.assignment.begin(work.record):
            self.metrics.events_taken.labels(topic=work.event.kind.topic).inc()
            self.metrics.events_of_source.labels(source=work.event.source).inc()
        if not dispatch.recipients and self.control_check.is_cancelled(work):
            dispatch = self.recipients.name_known(work, dispatch)
        if not dispatch.recipients:
            dispatch = await self.recipients.name(work, dispatch)
        while True:
            if decisions.in_doubt(dispatch):
                dispatch = await self.lost_answers.count(work, dispatch)
            dispatch = await self.lost_answers.reconcile(work, dispatch)
            self.control_check.check(work)
            dispatch = self.control_check.cancel(work, dispatch)
            if dispatch.final:
                await self._end_unsent(work, dispatch)
                return
            try:
                before, dispatch = dispatch, await self.attempt.run(work, dispatch)
            except ControlsChanged:
                continue
            if dispatch.final and dispatch.has_seen(work.record.topic, work.record.offset):
                return
            # If it is final and this delivery not yet seen, feedback ended it: the next round records that above.
            free = decisions.spent(dispatch) == decisions.spent(before)
            await self.retry_delay.wait(work, dispatch, free=free)

    async def _end_unsent(self, work: Work, dispatch: Dispatch) -> None:
        """Record a dispatch that ends without a send. A few at a time: thousands would delay those to be sent."""
        with work.assignment.lanes.parking(work.record):
            await self._unsent.acquire()
        try:
            with work.assignment.uninterruptible():
                await self.outcomes.record(work, dispatch)
        finally:
            self._unsent.release()
