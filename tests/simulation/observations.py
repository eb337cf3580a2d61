"""What a history shows so far: the state of every dispatch, send and program, read entry by entry."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from runtime.kafka.records import Place, Record
from schemas import headers as names
from schemas.cloudevents import NotAnEvent, decode
from schemas.controls import Control, parse_control
from schemas.dead_letters import from_record
from schemas.dispatch import Dispatch, Reason, Status, fold
from schemas.events import Event
from schemas.feedback import Feedback, parse_feedback
from schemas.headers import header, header_text
from schemas.placement import partition_for
from schemas.suppressions import SuppressionList, parse_suppression
from tests.simulation.history import OPENED, Accepted, Answered, Appended, Called, Entry, Happened, Reported, Troubled
from tests.simulation.kafka import PARTITIONS
from tests.simulation.producers import TOPICS
from tests.simulation.replica import cached_parse_dispatch

Addressed = tuple[str, str]
"""A dispatch and one of its recipients."""


@dataclass
class Send:
    """One call to SES, and its result."""

    called: Called
    accepted: Accepted | None = None
    answer: str | None = None
    recorded_at: float | None = None
    """When its message id was first in the log as `sent`."""


@dataclass
class Delivery:
    """One delivery of an event, in its right place."""

    record: Record
    event: Event


@dataclass(frozen=True)
class Told:
    """A record of feedback."""

    at: float
    feedback: Feedback


@dataclass(frozen=True)
class Loss:
    """A recipient whose answer was recorded as lost, and who is sent to again."""

    recorded_at: float
    send: int
    at: datetime


@dataclass
class Observations:
    """All that was observed."""

    deliveries: dict[str, list[Delivery]] = field(default_factory=lambda: defaultdict(list))
    states: dict[str, Dispatch] = field(default_factory=dict)
    """By dispatch: its records, folded."""
    ended: dict[str, Dispatch] = field(default_factory=dict)
    """By dispatch: its first record that says that it ended."""
    partitions: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """By dispatch: the partition numbers of its records."""
    intents: dict[Addressed, list[Appended]] = field(default_factory=lambda: defaultdict(list))
    sends: dict[Addressed, list[Send]] = field(default_factory=lambda: defaultdict(list))
    letters: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By dispatch: the reasons of its dead letters."""
    dead_lettered: set[str] = field(default_factory=set)
    """Positions of records that have a dead letter."""
    ranges: dict[Place, list[range]] = field(default_factory=lambda: defaultdict(list))
    """Offsets that dead letters of ranges cover."""
    moved: set[str] = field(default_factory=set)
    """Positions of records that were moved."""
    records: dict[Place, list[Record]] = field(default_factory=lambda: defaultdict(list))
    """The records of the event topics."""
    contacts_since: dict[str, float] = field(default_factory=dict)
    reported: dict[Addressed, list[Reported]] = field(default_factory=lambda: defaultdict(list))
    feedback: dict[Place, list[Told]] = field(default_factory=lambda: defaultdict(list))
    """The records of feedback, as they follow each other."""
    evidence: dict[str, float] = field(default_factory=dict)
    """By message id: when the first record of feedback about it was appended."""
    losses: dict[Addressed, list[Loss]] = field(default_factory=lambda: defaultdict(list))
    suppressed_since: dict[str, float] = field(default_factory=dict)
    """By contact: when the first record was appended that suppresses its address for good."""
    controls: list[tuple[float, Control]] = field(default_factory=list)
    """What operators put in force and lifted, and when."""
    opened: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    """By program and partition number: when it opened it."""
    troubles: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """By program: when it could not publish, or not fetch."""
    _incidents: dict[str, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))
    """By program, with which a member's name begins: what happened to it, and when."""
    _calls: dict[int, Send] = field(default_factory=dict)
    _by_message: dict[str, Send] = field(default_factory=dict)

    def happened_to(self, program: str, since: float, until: float, *what: str) -> bool:
        """Return whether one of *what* happened to a program in that time."""
        return any(since <= at <= until and incident in what for at, incident in self._incidents[program])

    def last(self, program: str, until: float, *what: str) -> float:
        """Return when one of *what* happened last to a program before *until*; 0 if never."""
        return max((at for at, incident in self._incidents[program] if at <= until and incident in what), default=0.0)

    def message(self, message_id: str | None) -> Send | None:
        """Return the send to which SES gave this id."""
        return self._by_message.get(message_id or "")

    def deliveries_of(self, dispatch_id: str) -> list[Delivery]:
        """Return the deliveries of a dispatch's event; others may have the same id but another content."""
        digest = self.states[dispatch_id].digest
        return [one for one in self.deliveries[dispatch_id] if one.event.digest == digest]

    def take(self, entry: Entry) -> None:
        """Read an entry."""
        match entry:
            case Appended():
                self._append(entry)
            case Called(call=call):
                send = self._calls[call] = Send(entry)
                self.sends[entry.dispatch_id, entry.contact_id].append(send)
            case Accepted(call=call, message_id=message_id):
                send = self._calls[call]
                send.accepted, self._by_message[message_id] = entry, send
            case Answered(call=call, answer=answer):
                self._calls[call].answer = answer
            case Reported():
                self.reported[entry.dispatch_id, entry.contact_id].append(entry)
            case Troubled(program=program, at=at):
                self.troubles[program].append(at)
            case Happened(program=program, at=at, what=what, detail=numbers) if what == OPENED:
                for number in numbers.split(","):
                    self.opened[program, int(number)].append(at)
            case Happened(program=member, at=at, what=what):
                program, _, _ = member.partition(".")
                self._incidents[program].append((at, what))

    def _append(self, entry: Appended) -> None:
        record = entry.record
        if record.topic == TOPICS.dispatches:
            self._append_dispatch(entry)
        elif record.topic == TOPICS.dead_letters:
            self._append_letter(record)
            dispatch = cached_parse_dispatch(header(record.headers, names.DISPATCH))
            if dispatch is not None:
                self.letters[dispatch.dispatch_id].add(header_text(record.headers, names.REASON) or "")
        elif record.topic == TOPICS.contacts:
            self.contacts_since.setdefault((record.key or b"").decode(), entry.at)
        elif record.topic == TOPICS.feedback:
            self._append_feedback(entry)
        elif record.topic == TOPICS.suppressions:
            self._append_suppression(entry)
        elif record.topic == TOPICS.controls:
            control = parse_control(record.key, record.value)
            assert control is not None  # operators write nothing else there
            self.controls.append((entry.at, control))
        else:
            self._append_event(record)

    def _append_feedback(self, entry: Appended) -> None:
        feedback = parse_feedback(entry.record.key, entry.record.value)
        assert feedback is not None  # replicas write nothing else there
        self.feedback[entry.record.place].append(Told(entry.at, feedback))
        self.evidence.setdefault(feedback.message_id, entry.at)

    def _append_suppression(self, entry: Appended) -> None:
        found = parse_suppression(entry.record.key, entry.record.value)
        if found is not None and found.on is SuppressionList.HARD and found.until is None:
            self.suppressed_since.setdefault(found.contact_id, entry.at)

    def _append_letter(self, record: Record) -> None:
        letter = from_record(record.key, record.value, record.headers)
        assert letter is not None  # replicas write nothing else there
        place = Place(letter.origin.topic, letter.origin.partition)
        self.dead_lettered.add(f"{place.topic}-{place.partition}-{letter.origin.offset}")
        if letter.last_offset is not None:
            self.ranges[place].append(range(letter.origin.offset, letter.last_offset + 1))

    def is_invalid_in_a_range(self, record: Record) -> bool:
        """Return whether a dead letter of a range covers a record; it never covers a valid event."""
        if not any(record.offset in offsets for offsets in self.ranges[record.place]):
            return False
        try:
            decode(record.headers, record.value)
        except NotAnEvent:
            return True
        return False

    def _append_event(self, record: Record) -> None:
        self.records[record.place].append(record)
        self.moved.add(header_text(record.headers, names.MOVED_FROM) or "")
        event = event_in_place(record)
        if event is not None:
            self.deliveries[event.dispatch_id].append(Delivery(record, event))

    def _append_dispatch(self, entry: Appended) -> None:
        dispatch = cached_parse_dispatch(entry.record.value)
        assert dispatch is not None  # replicas write nothing else there
        id_ = dispatch.dispatch_id
        known = self.states.get(id_)
        self.states[id_] = dispatch if known is None else fold(known, dispatch)
        if dispatch.final and dispatch.seen_through:
            self.ended.setdefault(id_, dispatch)
        self.partitions[id_].add(entry.record.partition)
        for recipient in dispatch.recipients:
            if recipient.status is Status.SENDING:
                self.intents[id_, recipient.contact_id].append(entry)
            if recipient.reason is Reason.ANSWER_LOST and recipient.at is not None and not recipient.status.final:
                self.losses[id_, recipient.contact_id].append(Loss(entry.at, recipient.send, recipient.at))
            send = self.message(recipient.message_id)
            if send is not None and send.recorded_at is None:
                send.recorded_at = entry.at


def event_in_place(record: Record) -> Event | None:
    """Return the event of a record that is in its right place, else None."""
    try:
        event = decode(record.headers, record.value)
    except NotAnEvent:
        return None
    home = (event.kind.topic, partition_for(event.mentor_id, PARTITIONS), event.mentor_id.encode())
    return event if (record.topic, record.partition, record.key) == home else None


def position_of(record: Record) -> str:
    """Return a record's position as it is written in headers."""
    return str(record.position)
