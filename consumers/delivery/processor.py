"""Sees one record through: from what was taken to one final dispatch, every step durable before the next.

The order is the design: gate, then `sending` durable, then SES, then (where it failed) the dead letter durable, then
the result durable; the offset is committed by others, later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog
from msgspec.structs import replace

from consumers.admission.gate import Gate, Permit
from consumers.assignment.assignment import Assignment
from consumers.contacts import Contacts
from consumers.contacts_follower import ContactsFollower
from consumers.delivery import decisions
from consumers.delivery.composer import Composer
from consumers.delivery.dead_letters import DeadLetters, letter_of
from consumers.delivery.decisions import (
    AlreadyProcessed,
    AnswerFromEarlier,
    Conflicting,
    Delivery,
    Process,
    RepublishOutcome,
)
from consumers.delivery.dispatch_store import Dispatches, DispatchStore
from consumers.delivery.event_headers import read_delivery, trace_parent, waits_seconds
from consumers.delivery.recipient_limit import RecipientLimit
from consumers.delivery.replay_bounds import within_bounds
from consumers.delivery.signature_check import SignatureCheck
from consumers.delivery.writer import Writer
from consumers.email import Email, EmailError, EmailSender, Throttled
from consumers.metrics import Metrics
from consumers.notices.notices import Notices
from consumers.steps import Reached, Step, nobody_listens
from runtime.backoff import backoff_seconds
from runtime.clock import Clock
from runtime.kafka.publisher import NotPublished, PublishError
from runtime.kafka.records import Record
from runtime.settings import LostAnswerPolicy
from runtime.signing_keys import is_impostor
from schemas import headers as names
from schemas.cloudevents import NotAnEvent, decode
from schemas.dead_letters import DeadLetterReason
from schemas.dispatch import Dispatch, Reason, Recipient, Status
from schemas.events import FACADE_SOURCE, Event

log = structlog.get_logger(__name__)

_UNSENT_AT_ONCE = 16
_STRANGERS_NAMES_LOGGED = 100


@dataclass(frozen=True)
class Rules:
    """The settings that seeing through goes by."""

    ses_timeout_seconds: float
    record_deadline_seconds: float
    max_attempts: int
    backoff_base_seconds: float
    backoff_max_seconds: float
    lost_answer_policy: LostAnswerPolicy
    retry_window: timedelta
    unknown_mentor_grace_seconds: float
    recipient_emails_per_hour: int
    """Beyond so many e-mails to one recipient in an hour, the operator is told."""
    zombie_after_seconds: float
    """Without a heartbeat for so long nothing is sent: the session less a margin."""


@dataclass
class _Work:
    """One copy of an event being seen through."""

    record: Record
    delivery: Delivery
    assignment: Assignment
    waits_until: float
    tried_at: float
    """Monotonic time of the previous try; before the first, of when the record was taken."""
    failures: int = 0

    @property
    def event(self) -> Event:
        return self.delivery.event


class Processor:
    """Sees records through, each in its lane."""

    def __init__(
        self,
        rules: Rules,
        clock: Clock,
        *,
        writer: Writer,
        signature_check: SignatureCheck,
        gate: Gate,
        contacts: Contacts,
        follower: ContactsFollower,
        notices: Notices,
        sender: EmailSender,
        dispatches: Dispatches,
        metrics: Metrics,
        last_heartbeat: Callable[[], float],
        random: Callable[[], float],
        reached: Reached = nobody_listens,
    ) -> None:
        self._rules = rules
        self._clock = clock
        self._writer = writer
        self._signature_check = signature_check
        self._gate = gate
        self._contacts = contacts
        self._follower = follower
        self._composer = Composer(contacts, notices, clock)
        self._recipient_limit = RecipientLimit(
            clock, metrics.beyond_recipient_limit, emails_per_hour=rules.recipient_emails_per_hour
        )
        self._sender = sender
        self._store = DispatchStore(writer, dispatches, clock, random)
        self.dead_letters = DeadLetters(writer, self._store.durably, clock, reached)
        self._metrics = metrics
        self._last_heartbeat = last_heartbeat
        self._random = random
        self._reached = reached
        self._unsent = asyncio.Semaphore(_UNSENT_AT_ONCE)
        self._unknown_names: set[str] = set()
        self._sources_without_time: set[str] = set()

    async def process(self, record: Record, assignment: Assignment) -> None:
        """See a record through; raises GivenUp if the partition is given up meanwhile."""
        place = str(record.position)
        self._reached(Step.TAKEN, place)
        try:
            event = decode(record.headers, record.value)
        except NotAnEvent as error:
            await self.dead_letters.record(assignment, record, error.reason, error.detail)
            return
        proof, believed = self._signature_check.check(record, event)
        if is_impostor(event.source, proof):
            reason, detail = DeadLetterReason.UNPROVEN_SOURCE, f"{names.SIGNATURE}: {proof}"
            await self.dead_letters.record(assignment, record, reason, detail)
            return
        if self._writer.misplaced(record, event):
            with assignment.uninterruptible():
                await self._store.durably(assignment, lambda: self._writer.move(believed, event))
                self._reached(Step.MOVED, event.dispatch_id)
            return
        self._count_what_was_ignored(event)
        await self._see_event_through(self._work(record, believed, event, assignment))

    def _count_what_was_ignored(self, event: Event) -> None:
        """Count unknown fields and a time that cannot be read; log each name and source once, a hundred at most."""
        if event.unknown_fields:
            self._metrics.unknown_fields.inc()
            for name in event.unknown_fields:
                if self._is_new(self._unknown_names, name):
                    log.warning("event.unknown_field", field=name[:100], type=event.kind.type)
        if event.time_unreadable:
            self._metrics.unreadable_times.labels(source=event.source).inc()
            if self._is_new(self._sources_without_time, event.source):
                log.warning("event.time_unreadable", source=event.source[:100], dispatch=event.dispatch_id)

    @staticmethod
    def _is_new(seen: set[str], name: str) -> bool:
        if name in seen or len(seen) >= _STRANGERS_NAMES_LOGGED:
            return False
        seen.add(name)
        return True

    def _work(self, record: Record, believed: Record, event: Event, assignment: Assignment) -> _Work:
        taken_at, waits = assignment.taken_at(record), waits_seconds(believed)
        waits_until = taken_at + waits if waits else 0.0
        return _Work(record, read_delivery(believed, event), assignment, waits_until, tried_at=taken_at)

    async def settle(self, assignment: Assignment, dispatch_id: str) -> None:
        """Fold a late write into a final dispatch, and append the fold where it changed."""
        await self._store.settle(assignment, dispatch_id)

    async def _see_event_through(self, work: _Work) -> None:
        assignment, event = work.assignment, work.event
        known = assignment.ledger.get(event.dispatch_id)
        if known is not None and known.final and known.has_seen(work.record.topic, work.record.offset):
            return
        dispatch = await self._store.known(assignment, event.dispatch_id)
        if dispatch is None and assignment.ledger.get(event.dispatch_id) is not None:
            log.error("ledger.record_gone", dispatch=event.dispatch_id, partition=assignment.number)
            return  # it was final; what it said is lost or not readable, and sending it again would be worse
        self._bound(work, dispatch)
        last_call = assignment.ledger.last_call(event.mentor_id, work.record.topic)
        match decisions.decide(work.delivery, dispatch, last_call, self._rules.retry_window):
            case AlreadyProcessed():
                return
            case RepublishOutcome(dispatch=repeated):
                await self._append(work, repeated)
            case Conflicting(dispatch=conflicting):
                await self._conflict(work, conflicting)
            case AnswerFromEarlier(first=first):
                await self._retry(work, first)
            case Process(dispatch=going_on):
                await self._go_on(work, going_on)

    def _bound(self, work: _Work, known: Dispatch | None) -> None:
        """Leave of what a replay carries only what it may say."""
        carried = work.delivery.carried
        if carried is None:
            return
        work.delivery = within_bounds(work.delivery, known, self._contacts.get(work.event.mentor_id))
        left = work.delivery.carried
        if left is None or len(left.recipients) < len(carried.recipients):
            dropped = len(carried.recipients) - (0 if left is None else len(left.recipients))
            log.warning("replay.recipients_dropped", dispatch=work.event.dispatch_id, recipients=dropped)

    async def _append(self, work: _Work, dispatch: Dispatch) -> None:
        with work.assignment.uninterruptible():
            await self._write(work.assignment, dispatch)

    async def _write(self, assignment: Assignment, dispatch: Dispatch) -> None:
        await self._store.write(assignment, dispatch)
        self._reached(Step.OUTCOME_RECORDED if dispatch.final else Step.PENDING_RECORDED, dispatch.dispatch_id)

    async def _set_aside(self, work: _Work, reason: DeadLetterReason, dispatch: Dispatch) -> None:
        letter = letter_of(work.record, reason, decisions.wrong_fields(dispatch), dispatch=dispatch)
        await self._store.durably(work.assignment, lambda: self._writer.dead_letter(letter))
        self._reached(Step.DEAD_LETTER_RECORDED, dispatch.dispatch_id)

    async def _conflict(self, work: _Work, dispatch: Dispatch) -> None:
        with work.assignment.uninterruptible():
            if work.event.source != FACADE_SOURCE:
                await self._set_aside(work, DeadLetterReason.CONFLICTING_DUPLICATE, dispatch)
            await self._write(work.assignment, dispatch)

    async def _retry(self, work: _Work, first_id: str) -> None:
        first = await self._store.known(work.assignment, first_id)
        if first is None or not first.final:
            await self._go_on(work, decisions.new_dispatch(work.delivery))
            return
        await self._append(work, decisions.retry_dispatch(work.delivery, first, self._clock.now()))

    async def _go_on(self, work: _Work, dispatch: Dispatch) -> None:
        dispatch = await self._settle_doubts(work, dispatch)
        if not dispatch.recipients:
            dispatch = await self._name_recipients(work, dispatch)
        if dispatch.final:
            await self._end_unsent(work, dispatch)
        while not dispatch.final:
            before, dispatch = dispatch, await self._try(work, dispatch)
            if not dispatch.final:
                await self._back_off(work, dispatch, free=decisions.spent(dispatch) == decisions.spent(before))

    async def _end_unsent(self, work: _Work, dispatch: Dispatch) -> None:
        """End what is not to be sent, some at a time: thousands at once would delay what is to be sent."""
        with work.assignment.lanes.parking(work.record):
            await self._unsent.acquire()
        try:
            with work.assignment.uninterruptible():
                await self._record(work, dispatch)
        finally:
            self._unsent.release()

    async def _settle_doubts(self, work: _Work, dispatch: Dispatch) -> Dispatch:
        """
        Count answers that a former owner lost, once it can no longer be writing them.

        It may have begun just now: one that stood still and does not know yet that it owns nothing any more.
        """
        if not decisions.in_doubt(dispatch):
            return dispatch
        work.assignment.check()
        await self._clock.sleep(self._rules.ses_timeout_seconds + self._rules.record_deadline_seconds)
        dispatch = await self._store.caught_up(work.assignment, dispatch)
        doubtful = decisions.in_doubt(dispatch)
        if not doubtful:
            return dispatch
        now, policy = self._clock.now(), self._rules.lost_answer_policy
        dispatch = dispatch.with_recipients(decisions.lost(recipient, policy, now) for recipient in doubtful)
        log.warning("dispatch.answer_lost_by_owner", dispatch=dispatch.dispatch_id, recipients=len(doubtful))
        if not dispatch.final:
            await self._append(work, dispatch)
        return dispatch

    async def _name_recipients(self, work: _Work, dispatch: Dispatch) -> Dispatch:
        await self._follower.until_caught_up()
        mentor = self._contacts.get(work.event.mentor_id)
        if mentor is None:
            work.assignment.check()
            await self._wait_for_contact(work)
            mentor = self._contacts.get(work.event.mentor_id)
        if mentor is None:
            log.warning("dispatch.unknown_mentor", dispatch=dispatch.dispatch_id)
            return replace(dispatch, unknown_mentor=True)
        return replace(dispatch, recipients=decisions.recipients_of(work.event, mentor))

    async def _wait_for_contact(self, work: _Work) -> None:
        """
        Give a contact that is on its way its time: the table read to now, and a moment since the record came.

        All who wait share each look at the topic, and hold no place that others need.
        """
        await self._follower.until_any()
        with work.assignment.lanes.parking(work.record):
            await self._follower.read_to_now()
            if self._contacts.get(work.event.mentor_id) is not None:
                return
            grace_ends = work.assignment.taken_at(work.record) + self._rules.unknown_mentor_grace_seconds
            await self._clock.sleep(max(grace_ends - self._clock.monotonic(), 0))
            await self._follower.read_to_now()

    async def _back_off(self, work: _Work, dispatch: Dispatch, *, free: bool) -> None:
        """
        Let a while pass before the next try.

        In a halt none where the last was *free*: the gate is where a halt's end is seen at once. What was charged an
        attempt or lost an answer waits all the same, else one that SES takes now and then would use all up in a moment.
        """
        for recipient in decisions.due(dispatch):
            self._metrics.retries.labels(reason=recipient.reason or "none").inc()
        work.assignment.check()
        if free and self._gate.halt is not None:
            return
        work.failures += 1
        rules = self._rules
        await self._clock.sleep(
            backoff_seconds(
                work.failures, base=rules.backoff_base_seconds, ceiling=rules.backoff_max_seconds, random=self._random
            )
        )

    async def _try(self, work: _Work, dispatch: Dispatch) -> Dispatch:
        """Wait at the gate, then send to all who are due, side by side."""
        dispatch = await self._settle_doubts(work, dispatch)
        due = decisions.due(dispatch)
        if not due:
            with work.assignment.uninterruptible():
                return await self._record(work, dispatch)
        permit = Permit(
            mentor_id=dispatch.mentor_id,
            emails=len(due),
            waits_until=work.waits_until,
            answer_was_lost=any(recipient.answers_lost for recipient in due),
        )
        work.assignment.check()
        await self._gate.enter(permit)
        with work.assignment.uninterruptible(), self._gate.leaving(permit):
            return await self._pass(work, await self._store.caught_up(work.assignment, dispatch))

    async def _pass(self, work: _Work, dispatch: Dispatch) -> Dispatch:
        if self._is_zombie(work.assignment):
            return dispatch  # what it wrote now would come late to who owns it, and may reopen what has ended
        if not self._follower.caught_up:
            return dispatch  # the contacts topic is another one: what is known of it may be out of date
        true_until = work.event.true_until(work.delivery.appended_at)
        now = self._clock.now()
        if true_until is not None and now > true_until:
            late = [decisions.ended(r, Status.EXPIRED, Reason.TOO_LATE, now) for r in decisions.due(dispatch)]
            return await self._record(work, dispatch.with_recipients(late))
        emails, dispatch = self._composer.make_out(work.delivery, work.assignment.number, dispatch)
        if not emails:
            return await self._record(work, dispatch)
        return await self._intend_and_send(work, dispatch, emails)

    async def _intend_and_send(self, work: _Work, dispatch: Dispatch, emails: Mapping[str, Email]) -> Dispatch:
        """Make the intent durable, then call SES, where that may still be done; then make the result durable."""
        due = [recipient for recipient in decisions.due(dispatch) if recipient.contact_id in emails]
        sending = decisions.begin(due, self._clock.now())
        intent = dispatch.with_recipients(sending)
        try:
            published = await self._writer.dispatch(work.assignment.number, intent)
        except PublishError as error:
            log.warning("dispatch.intent_not_durable", dispatch=dispatch.dispatch_id, error=type(error).__name__)
            taken_back = intent.with_recipients(decisions.not_called(sending))
            if isinstance(error, NotPublished) or self._is_zombie(work.assignment):
                return taken_back
            # It may be in the log: left there, the next owner would hold an answer for lost that nobody asked for.
            return await self._record(work, taken_back)
        self._reached(Step.INTENT_RECORDED, dispatch.dispatch_id)
        work.assignment.ledger.wrote(published.offset, intent)
        if self._is_zombie(work.assignment):
            log.error("dispatch.not_called", dispatch=dispatch.dispatch_id, partition=work.assignment.number)
            return await self._record(work, intent.with_recipients(decisions.not_called(sending)))
        outcomes = await self._send_all(work, sending, emails)
        self._reached(Step.ANSWERED, dispatch.dispatch_id)
        return await self._record(work, intent.with_recipients(outcomes))

    def _is_zombie(self, assignment: Assignment) -> bool:
        silent = self._clock.monotonic() - self._last_heartbeat()
        return assignment.gone or silent > self._rules.zombie_after_seconds

    async def _send_all(self, work: _Work, sending: list[Recipient], emails: Mapping[str, Email]) -> list[Recipient]:
        began = self._clock.monotonic()
        previous, work.tried_at = work.tried_at, began
        results = await asyncio.gather(*(self._send(work, emails[recipient.contact_id]) for recipient in sending))
        self._count_accepted(work, sending, results)
        charge = self._gate.accepted_at > previous
        now = self._clock.now()
        return [
            decisions.sent(recipient, result, now)
            if isinstance(result, str)
            else decisions.not_sent(
                recipient,
                result,
                now,
                policy=self._rules.lost_answer_policy,
                charge=charge,
                max_attempts=self._rules.max_attempts,
            )
            for recipient, result in zip(sending, results, strict=True)
        ]

    def _count_accepted(self, work: _Work, sending: list[Recipient], results: list[str | EmailError]) -> None:
        request = work.delivery.request
        for recipient, result in zip(sending, results, strict=True):
            if isinstance(result, str):
                caller = request.caller if request is not None else None
                self._recipient_limit.sent(recipient.contact_id, source=work.event.source, caller=caller)

    async def _send(self, work: _Work, email: Email) -> str | EmailError:
        began = self._clock.monotonic()
        try:
            message_id = await self._sender.send(email)
        except EmailError as error:
            log.warning("send.failed", dispatch=work.event.dispatch_id, error=type(error).__name__, detail=str(error))
            self._gate.report(work.event.mentor_id, error)
            if isinstance(error, Throttled):
                self._metrics.throttles.inc()
            return error
        finally:
            self._metrics.ses_seconds.observe(self._clock.monotonic() - began)
        self._gate.report(work.event.mentor_id, None)
        return message_id

    async def _record(self, work: _Work, dispatch: Dispatch) -> Dispatch:
        """Make the state durable; a final one after its dead letter, where it needs one."""
        dispatch = self._store.at_hand(work.assignment, dispatch)
        if not dispatch.final:
            await self._write(work.assignment, dispatch)
            return dispatch
        final = dispatch.seen(work.record.topic, work.record.offset, ended_at=self._clock.now())
        reason = _dead_letter_reason(final)
        if reason is not None:
            await self._set_aside(work, reason, final)
        await self._write(work.assignment, final)
        for recipient in final.recipients:
            self._metrics.outcomes.labels(status=recipient.status, reason=recipient.reason or "").inc()
        log.info(
            "dispatch.ended",
            dispatch=final.dispatch_id,
            type=final.event_type,
            partition=work.assignment.number,
            statuses=[recipient.status.value for recipient in final.recipients],
            trace=trace_parent(work.record),
        )
        return final


def _dead_letter_reason(dispatch: Dispatch) -> DeadLetterReason | None:
    statuses = {recipient.status for recipient in dispatch.recipients}
    if not dispatch.recipients:
        return DeadLetterReason.UNKNOWN_MENTOR
    if Status.UNKNOWN in statuses:
        return DeadLetterReason.UNKNOWN
    return DeadLetterReason.FAILED if Status.FAILED in statuses else None
