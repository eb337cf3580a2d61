"""The invariants of DESIGN.md, read off a history by its order alone; knows nothing of the code that made it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from runtime.kafka.records import Place, Record
from runtime.settings import LostAnswerPolicy
from schemas.dispatch import Dispatch, Reason, Recipient, Status
from schemas.events import Event, Role
from tests.simulation.facts import Facts, Send, event_at_home, name_of
from tests.simulation.history import (
    NOT_DRAINED,
    Appended,
    Broken,
    Called,
    CommitAsked,
    Entry,
    Happened,
    History,
    Polled,
)
from tests.simulation.loop import START
from tests.simulation.operators import CONTACTS, TOPICS
from tests.simulation.publishing import RECORD_DEADLINE_SECONDS
from tests.simulation.replica import cached_parse_dispatch

FAULT = 0
"""The number of what breaks no invariant but was raised where nobody foresaw it."""
_BEFELL = ("killed", "stands still", "ended by its watchdog", NOT_DRAINED)
"""What may keep a program from recording an answer."""
_ON_ITS_WAY = RECORD_DEADLINE_SECONDS
"""So long a record may be on its way after its writer was last heard of."""


@dataclass(frozen=True)
class Circumstances:
    """What excuses a mail sent twice, beside what the history says."""

    policy: LostAnswerPolicy
    publishing_fails: bool
    lag_seconds: float
    """How late a record may come to who follows its log."""
    max_attempts: int


@dataclass(frozen=True)
class Violation:
    """An invariant that was broken, by its number in DESIGN.md."""

    invariant: int
    at: float
    what: str

    def __str__(self) -> str:
        return f"invariant {self.invariant} at {self.at:.3f} s: {self.what}"


class Checker:
    """Takes a history in, entry by entry, and tells what it breaks."""

    def __init__(self, circumstances: Circumstances) -> None:
        self._given = circumstances
        self._facts = Facts()
        self._finished: dict[Place, int] = defaultdict(int)
        self._order: dict[tuple[str, str, str], int] = {}

    def check(self, history: History) -> Iterator[Violation]:
        """Yield what a history breaks, in the order in which it was broken."""
        at = 0.0
        for entry in history.entries:
            at = entry.at
            for invariant, what in self._take(entry):
                yield Violation(invariant, at, what)
        for invariant, what in self._end(history):
            yield Violation(invariant, at, what)

    def _take(self, entry: Entry) -> Iterator[tuple[int, str]]:
        self._facts.take(entry)
        match entry:
            case Appended(record=record) if record.topic == TOPICS.dispatches:
                yield from self._written(entry)
            case CommitAsked():
                yield from self._commit(entry)
            case Called():
                yield from self._called(entry)
            case Happened(what=what) if what == NOT_DRAINED:
                yield from self._not_drained(entry)
            case Polled(program=program, held=held, bound=bound):
                yield 9, f"{program} holds {held} records, at most {bound} are allowed"
            case Broken(program=program, what=what):
                yield FAULT, f"{program}: {what}"

    def _not_drained(self, entry: Happened) -> Iterator[tuple[int, str]]:
        if not (self._given.publishing_fails or self._facts.befell(entry.program, 0, entry.at, "stands still")):
            yield 3, f"{entry.program} did not finish in time what had passed the gate"

    # -- what is written -----------------------------------------------------------------------------------------

    def _written(self, entry: Appended) -> Iterator[tuple[int, str]]:
        dispatch = cached_parse_dispatch(entry.record.value)
        assert dispatch is not None  # it was just taken in
        for recipient in dispatch.recipients:
            yield from self._recipient_written(entry, dispatch, recipient)
        if dispatch.unknown_mentor and not dispatch.recipients:
            known_at = self._facts.contacts_since.get(dispatch.mentor_id)
            if known_at is not None and known_at < (dispatch.origin.appended_at - START).total_seconds():
                yield 1, f"{dispatch.dispatch_id} says unknown_mentor of {dispatch.mentor_id}, who was known"
        if dispatch.final and dispatch.retry_of is None:
            yield from self._set_aside_before(dispatch)

    def _set_aside_before(self, dispatch: Dispatch) -> Iterator[tuple[int, str]]:
        statuses = {recipient.status for recipient in dispatch.recipients}
        failed = statuses & {Status.FAILED, Status.UNKNOWN} or not dispatch.recipients
        if failed and not self._facts.letters[dispatch.dispatch_id]:
            yield 1, f"{dispatch.dispatch_id} failed and was final before its dead letter was durable"

    def _recipient_written(
        self, entry: Appended, dispatch: Dispatch, recipient: Recipient
    ) -> Iterator[tuple[int, str]]:
        id_, contact_id = dispatch.dispatch_id, recipient.contact_id
        if recipient.status is Status.SENT:
            send = self._facts.message(recipient.message_id)
            to = {(id_, contact_id), (dispatch.retry_of or id_, contact_id)}
            if send is None or (send.called.dispatch_id, send.called.contact_id) not in to:
                yield 6, f"{id_} says sent to {contact_id}, but SES did not accept {recipient.message_id}"
        if recipient.answers_lost > self._losses(id_, contact_id, entry.at) and dispatch.retry_of is None:
            yield 3, f"{id_} counts {recipient.answers_lost} answers lost of {contact_id}, whom nothing befell"
        if recipient.reason is Reason.ATTEMPTS_EXHAUSTED and dispatch.retry_of is None:
            tries = [send for send in self._facts.sends[id_, contact_id] if send.answer == "NotSent"]
            if len(tries) < self._given.max_attempts:
                yield 7, f"{id_} gave {contact_id} up after {len(tries)} attempts"

    def _losses(self, dispatch_id: str, contact_id: str, now: float) -> int:
        """Count the answers that may rightly be held for lost: an intent whose answer did not reach the log."""
        sends = self._facts.sends[dispatch_id, contact_id]
        count = 0
        intents = self._facts.intents[dispatch_id, contact_id]
        for intent, until in zip(intents, [*(one.at for one in intents[1:]), now], strict=bool(intents)):
            program = intent.program or ""
            answers = [send.answer for send in sends if intent.at <= send.called.at <= until]
            count += "AnswerLost" in answers or self._facts.befell(program, intent.at - _ON_ITS_WAY, now, *_BEFELL)
        return count

    # -- what is committed ---------------------------------------------------------------------------------------

    def _commit(self, entry: CommitAsked) -> Iterator[tuple[int, str]]:
        at = f"{entry.place.topic}-{entry.place.partition}-{entry.offset}"
        if entry.owned_from is None:
            yield 5, f"{entry.program} commits {at}, which it does not own"
        elif entry.offset < entry.owned_from:
            yield 5, f"{entry.program} commits {at}, but owns it from {entry.owned_from} on"
        records = self._facts.records[entry.place]
        while self._finished[entry.place] < entry.offset:
            record = records[self._finished[entry.place]]
            if not self._is_finished(record):
                yield 5, f"{entry.program} commits {at}, but {name_of(record)} is not finished"
                return
            self._finished[entry.place] += 1

    def _is_finished(self, record: Record) -> bool:
        if name_of(record) in self._facts.set_aside | self._facts.moved:
            return True
        if self._facts.is_junk_of_a_range(record):
            return True
        event = event_at_home(record)
        state = None if event is None else self._facts.states.get(event.dispatch_id)
        return state is not None and state.has_seen(record.topic, record.offset)

    # -- what is sent --------------------------------------------------------------------------------------------

    def _called(self, entry: Called) -> Iterator[tuple[int, str]]:
        facts, to = self._facts, (entry.dispatch_id, entry.contact_id)
        recorded = [send.recorded_at for send in facts.sends[to] if send.recorded_at is not None]
        intended_at = max((i.at for i in facts.intents[to] if i.program == entry.program), default=entry.at)
        since = intended_at - self._given.lag_seconds
        awake = not facts.befell(entry.program, since, intended_at, "goes on")
        if recorded and min(recorded) < since and entry.owns and awake:
            yield 2, f"{entry.program} sends {to} again, recorded as sent at {min(recorded):.3f} s"
        if not entry.owns:
            return  # a zombie: what it began cannot be held back
        copies = facts.copies_of(entry.dispatch_id)
        lane = (copies[0].event.mentor_id, copies[0].record.topic, entry.contact_id)
        later = [copy.record.offset for copy in copies if copy.record.offset >= self._order.get(lane, 0)]
        if later:
            self._order[lane] = min(later)
        else:
            yield 4, f"{entry.program} sends {to} after an event that lies behind it in its topic"

    def _twice(self, to: tuple[str, str], sends: list[Send]) -> Iterator[tuple[int, str]]:
        accepted = [send for send in sends if send.accepted is not None]
        for first, second in pairwise(accepted):
            if second.called.owns and not self._was_lost(first, second.called.at):
                yield 2, f"{to} was sent twice, although the first answer was not lost"
        rounds = max((r.round for r in self._facts.states[to[0]].recipients), default=0) + 1
        allowed = rounds * (2 if self._given.policy is LostAnswerPolicy.RESEND else 1)
        zombies = sum(not send.called.owns for send in accepted) + self._stale_intents(to)
        if len(accepted) > allowed + zombies:
            yield 3, f"{to} was sent {len(accepted)} times under {self._given.policy}"

    def _stale_intents(self, to: tuple[str, str]) -> int:
        """Count intents of programs that had stood still: taken back, they may hide an owner's of the same number."""
        return sum(
            self._facts.befell(intent.program or "", intent.at - _ON_ITS_WAY, intent.at, "goes on")
            for intent in self._facts.intents[to]
        )

    def _was_lost(self, send: Send, until: float) -> bool:
        if send.answer == "AnswerLost":
            return True
        program, since = send.called.program, send.called.at
        return not send.called.owns or self._facts.befell(program, since, until, *_BEFELL)

    # -- the end -------------------------------------------------------------------------------------------------

    def _end(self, history: History) -> Iterator[tuple[int, str]]:
        for to, sends in self._facts.sends.items():
            yield from self._twice(to, sends)
        for records in self._facts.records.values():
            for record in records:
                if not self._is_finished(record):
                    yield 1, f"{name_of(record)} was never finished"
        for dispatch_id in self._facts.copies:
            yield from self._ended(dispatch_id)
        if not history.quiet:
            yield 1, "something was left to do"
        for program, left in history.left.items():
            yield 9, f"{program} still holds {left} when all is over"

    def _ended(self, dispatch_id: str) -> Iterator[tuple[int, str]]:
        state = self._facts.states.get(dispatch_id)
        if state is None or not state.final:
            yield 1, f"{dispatch_id} has no final dispatch"
            return
        copy = self._facts.copies_of(dispatch_id)[0]
        if self._facts.numbers[dispatch_id] != {copy.record.partition}:
            yield 1, f"{dispatch_id} lies in partitions {self._facts.numbers[dispatch_id]}"
        told = {recipient.contact_id for recipient in state.recipients}
        alike = len({one.event.digest for one in self._facts.copies[dispatch_id]}) == 1
        if told and alike and told != _to_be_told(copy.event):  # else owners may have begun with different contents
            yield 1, f"{dispatch_id} told {told}"


def _to_be_told(event: Event) -> set[str]:
    mentor = CONTACTS[event.mentor_id]
    coordinator = mentor.coordinator_id if Role.COORDINATOR in event.kind.roles else None
    return {event.mentor_id} | ({coordinator} if coordinator else set())
