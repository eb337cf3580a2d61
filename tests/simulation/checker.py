"""Checks the invariants of DESIGN.md from the order of a history alone, without looking at the replicas."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from runtime.kafka.records import Place, Record
from runtime.settings import LostAnswerPolicy
from schemas.dispatch import Dispatch, Reason, Recipient, Status
from schemas.events import Event, Role
from tests.simulation.control_checks import ControlChecks
from tests.simulation.feedback_checks import FeedbackChecks
from tests.simulation.history import (
    NOT_DRAINED,
    Appended,
    Called,
    CommitAsked,
    Committed,
    Entry,
    Happened,
    History,
    Polled,
    Unexpected,
)
from tests.simulation.loop import START
from tests.simulation.observations import Observations, Send, event_in_place, position_of
from tests.simulation.producers import CONTACTS, TOPICS
from tests.simulation.publishing import RECORD_DEADLINE_SECONDS
from tests.simulation.replica import cached_parse_dispatch

FAULT = 0
"""The number of a violation that breaks no invariant: an unexpected error."""
_EXCUSES = ("killed", "frozen", "ended by its watchdog", NOT_DRAINED)
"""What may keep a program from recording an answer."""
_IN_TRANSIT_SECONDS = RECORD_DEADLINE_SECONDS
"""How long a record may be in transit after its writer was last seen."""


@dataclass(frozen=True)
class Allowances:
    """What allows an e-mail to be sent twice, beside what the history shows."""

    policy: LostAnswerPolicy
    publishing_fails: bool
    lag_seconds: float
    """How late a record may reach the readers of its log."""
    max_attempts: int
    handling_seconds: float
    """How long it takes an owner to read feedback and to settle a lost answer by it."""


@dataclass(frozen=True)
class Violation:
    """An invariant that was broken, by its number in DESIGN.md."""

    invariant: int
    at: float
    what: str

    def __str__(self) -> str:
        return f"invariant {self.invariant} at {self.at:.3f} s: {self.what}"


class Checker:
    """Reads a history entry by entry, and yields its violations."""

    def __init__(self, allowances: Allowances) -> None:
        self._allowed = allowances
        self._observed = Observations()
        self._feedback = FeedbackChecks(self._observed, allowances.handling_seconds, allowances.lag_seconds)
        self._controls = ControlChecks(self._observed, allowances.handling_seconds + allowances.lag_seconds)
        self._finished: dict[Place, int] = defaultdict(int)
        self._order: dict[tuple[str, str, str], int] = {}

    def check(self, history: History) -> Iterator[Violation]:
        """Yield the violations of a history, in order."""
        at = 0.0
        for entry in history.entries:
            at = entry.at
            for invariant, what in self._take(entry):
                yield Violation(invariant, at, what)
        for invariant, what in self._end(history):
            yield Violation(invariant, at, what)

    def _take(self, entry: Entry) -> Iterator[tuple[int, str]]:
        self._observed.take(entry)
        match entry:
            case Appended(record=record) if record.topic == TOPICS.dispatches:
                yield from self._written(entry)
            case CommitAsked():
                yield from self._commit(entry)
            case Committed(place=place, offset=offset) if place.topic == TOPICS.feedback:
                yield from self._feedback.committed(entry, self._finished[place])
                self._finished[place] = max(offset, self._finished[place])
            case Called():
                yield from self._called(entry)
            case Happened(what=what) if what == NOT_DRAINED:
                yield from self._not_drained(entry)
            case Polled(program=program, held=held, bound=bound):
                yield 9, f"{program} holds {held} records, at most {bound} are allowed"
            case Unexpected(program=program, what=what):
                yield FAULT, f"{program}: {what}"

    def _not_drained(self, entry: Happened) -> Iterator[tuple[int, str]]:
        if not (self._allowed.publishing_fails or self._observed.happened_to(entry.program, 0, entry.at, "frozen")):
            yield 3, f"{entry.program} did not finish in time what had passed the gate"

    # -- what is written -----------------------------------------------------------------------------------------

    def _written(self, entry: Appended) -> Iterator[tuple[int, str]]:
        dispatch = cached_parse_dispatch(entry.record.value)
        assert dispatch is not None  # the observations have just parsed it
        for recipient in dispatch.recipients:
            yield from self._recipient_written(entry, dispatch, recipient)
        if dispatch.unknown_mentor and not dispatch.recipients:
            known_at = self._observed.contacts_since.get(dispatch.mentor_id)
            if known_at is not None and known_at < (dispatch.origin.appended_at - START).total_seconds():
                yield 1, f"{dispatch.dispatch_id} reports unknown_mentor for {dispatch.mentor_id}, who was known"
        # What feedback makes final is ended by the lane of its event, which says so in `seen_through`.
        if dispatch.final and dispatch.seen_through and dispatch.retry_of is None:
            yield from self._dead_lettered_before(dispatch)

    def _dead_lettered_before(self, dispatch: Dispatch) -> Iterator[tuple[int, str]]:
        statuses = {recipient.status for recipient in dispatch.recipients}
        failed = statuses & {Status.FAILED, Status.UNKNOWN} or not dispatch.recipients
        if failed and not self._observed.letters[dispatch.dispatch_id]:
            yield 1, f"{dispatch.dispatch_id} failed and was final before its dead letter was durable"

    def _recipient_written(
        self, entry: Appended, dispatch: Dispatch, recipient: Recipient
    ) -> Iterator[tuple[int, str]]:
        id_, contact_id = dispatch.dispatch_id, recipient.contact_id
        yield from self._controls.written(entry, dispatch, recipient)
        if recipient.status is Status.SENT:
            send = self._observed.message(recipient.message_id)
            to = {(id_, contact_id), (dispatch.retry_of or id_, contact_id)}
            if send is None or (send.called.dispatch_id, send.called.contact_id) not in to:
                yield 6, f"{id_} reports sent to {contact_id}, but SES did not accept {recipient.message_id}"
        if recipient.answers_lost > self._losses(id_, contact_id, entry.at) and dispatch.retry_of is None:
            yield 3, f"{id_} counts {recipient.answers_lost} lost answers of {contact_id}, but none was lost"
        if recipient.reason is Reason.ATTEMPTS_EXHAUSTED and dispatch.retry_of is None:
            tries = [send for send in self._observed.sends[id_, contact_id] if send.answer == "NotSent"]
            if len(tries) < self._allowed.max_attempts:
                yield 7, f"{id_} gave {contact_id} up after {len(tries)} attempts"

    def _losses(self, dispatch_id: str, contact_id: str, now: float) -> int:
        """Count the answers that may be counted as lost: those of intents whose answer did not reach the log."""
        sends = self._observed.sends[dispatch_id, contact_id]
        count = 0
        intents = self._observed.intents[dispatch_id, contact_id]
        for intent, until in zip(intents, [*(one.at for one in intents[1:]), now], strict=bool(intents)):
            program = intent.program or ""
            answers = [send.answer for send in sends if intent.at <= send.called.at <= until]
            count += "AnswerLost" in answers or self._observed.happened_to(
                program, intent.at - _IN_TRANSIT_SECONDS, now, *_EXCUSES
            )
        return count

    # -- what is committed ---------------------------------------------------------------------------------------

    def _commit(self, entry: CommitAsked) -> Iterator[tuple[int, str]]:
        at = f"{entry.place.topic}-{entry.place.partition}-{entry.offset}"
        if entry.owned_from is None:
            yield 5, f"{entry.program} commits {at}, which it does not own"
        elif entry.offset < entry.owned_from:
            yield 5, f"{entry.program} commits {at}, but owns it from {entry.owned_from} on"
        if entry.place.topic == TOPICS.feedback:
            return  # see Committed
        records = self._observed.records[entry.place]
        while self._finished[entry.place] < entry.offset:
            record = records[self._finished[entry.place]]
            if not self._is_finished(record):
                yield 5, f"{entry.program} commits {at}, but {position_of(record)} is not finished"
                return
            self._finished[entry.place] += 1

    def _is_finished(self, record: Record) -> bool:
        if position_of(record) in self._observed.dead_lettered | self._observed.moved:
            return True
        if self._observed.is_invalid_in_a_range(record):
            return True
        event = event_in_place(record)
        state = None if event is None else self._observed.states.get(event.dispatch_id)
        return state is not None and state.has_seen(record.topic, record.offset)

    # -- what is sent --------------------------------------------------------------------------------------------

    def _called(self, entry: Called) -> Iterator[tuple[int, str]]:
        observations, to = self._observed, (entry.dispatch_id, entry.contact_id)
        recorded = [send.recorded_at for send in observations.sends[to] if send.recorded_at is not None]
        intended_at = max((i.at for i in observations.intents[to] if i.program == entry.program), default=entry.at)
        since = intended_at - self._allowed.lag_seconds
        awake = not observations.happened_to(entry.program, since, intended_at, "resumed")
        if recorded and min(recorded) < since and entry.owns and awake:
            yield 2, f"{entry.program} sends {to} again, recorded as sent at {min(recorded):.3f} s"
        yield from self._feedback.called(entry, intended_at)
        yield from self._controls.called(entry)
        if not entry.owns:
            return  # a zombie: what it began cannot be stopped
        deliveries = observations.deliveries_of(entry.dispatch_id)
        lane = (deliveries[0].event.mentor_id, deliveries[0].record.topic, entry.contact_id)
        later = [one.record.offset for one in deliveries if one.record.offset >= self._order.get(lane, 0)]
        if later:
            self._order[lane] = min(later)
        else:
            yield 4, f"{entry.program} sends {to} after an event that lies behind it in its topic"

    def _twice(self, to: tuple[str, str], sends: list[Send]) -> Iterator[tuple[int, str]]:
        accepted = [send for send in sends if send.accepted is not None]
        for first, second in pairwise(accepted):
            if second.called.owns and not self._answer_was_lost(first, second.called.at):
                yield 2, f"{to} was sent twice, although the first answer was not lost"
        if self._allowed.policy is LostAnswerPolicy.RECONCILE:
            yield from self._feedback.twice(to, accepted)
        rounds = max((r.round for r in self._observed.states[to[0]].recipients), default=0) + 1
        allowed = rounds * (1 if self._allowed.policy is LostAnswerPolicy.HOLD else 2)
        zombies = sum(not send.called.owns for send in accepted) + self._stale_intents(to)
        if len(accepted) > allowed + zombies:
            yield 3, f"{to} was sent {len(accepted)} times under {self._allowed.policy}"

    def _stale_intents(self, to: tuple[str, str]) -> int:
        """Count intents of programs that were frozen: when withdrawn, they may hide an owner's of the same number."""
        return sum(
            self._observed.happened_to(intent.program or "", intent.at - _IN_TRANSIT_SECONDS, intent.at, "resumed")
            for intent in self._observed.intents[to]
        )

    def _answer_was_lost(self, send: Send, until: float) -> bool:
        if send.answer == "AnswerLost":
            return True
        program, since = send.called.program, send.called.at
        return not send.called.owns or self._observed.happened_to(program, since, until, *_EXCUSES)

    # -- the end -------------------------------------------------------------------------------------------------

    def _end(self, history: History) -> Iterator[tuple[int, str]]:
        for to, sends in self._observed.sends.items():
            yield from self._twice(to, sends)
        for records in self._observed.records.values():
            for record in records:
                if not self._is_finished(record):
                    yield 1, f"{position_of(record)} was never finished"
        yield from self._feedback.end()
        yield from self._controls.end()
        for dispatch_id in self._observed.deliveries:
            yield from self._ended(dispatch_id)
        if not history.quiet:
            yield 1, "some work was never finished"
        for program, left in history.left.items():
            yield 9, f"{program} still holds {left} at the end"

    def _ended(self, dispatch_id: str) -> Iterator[tuple[int, str]]:
        state = self._observed.states.get(dispatch_id)
        if state is None or not state.final:
            yield 1, f"{dispatch_id} has no final dispatch"
            return
        first = self._observed.deliveries_of(dispatch_id)[0]
        if self._observed.partitions[dispatch_id] != {first.record.partition}:
            yield 1, f"{dispatch_id} lies in partitions {self._observed.partitions[dispatch_id]}"
        informed, concerned = {recipient.contact_id for recipient in state.recipients}, _recipients_of(first.event)
        # A cancelled event names whom it knows: its contact may come later, or never.
        cancelled = informed < concerned and {Reason.CANCELLED} == {recipient.reason for recipient in state.recipients}
        alike = len({one.event.digest for one in self._observed.deliveries[dispatch_id]}) == 1
        # Otherwise owners may have begun with different contents.
        if informed and alike and informed != concerned and not cancelled:
            yield 1, f"{dispatch_id} was sent to {informed}"


def _recipients_of(event: Event) -> set[str]:
    mentor = CONTACTS.get(event.mentor_id)
    by_role = {Role.MENTOR: event.mentor_id, Role.COORDINATOR: None if mentor is None else mentor.coordinator_id}
    return {contact_id for role in event.kind.roles if (contact_id := by_role[role]) is not None}
