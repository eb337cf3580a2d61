"""What a history says so far: the state of every dispatch, send and program, taken in entry by entry."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from runtime.kafka.records import Place, Record
from runtime.kafka.topics import partition_for
from schemas import headers as names
from schemas.cloudevents import NotAnEvent, decode
from schemas.dead_letters import from_record
from schemas.dispatch import Dispatch, Status, fold
from schemas.events import Event
from schemas.headers import header, header_text
from tests.simulation.history import Accepted, Answered, Appended, Called, Entry, Happened
from tests.simulation.kafka import PARTITIONS
from tests.simulation.operators import TOPICS
from tests.simulation.replica import cached_parse_dispatch

Addressed = tuple[str, str]
"""A dispatch and one of its recipients."""


@dataclass
class Send:
    """One call to SES, and what came of it."""

    called: Called
    accepted: Accepted | None = None
    answer: str | None = None
    recorded_at: float | None = None
    """When its message id first came to lie in the log as `sent`."""


@dataclass
class Delivery:
    """One copy of an event where it belongs."""

    record: Record
    event: Event


@dataclass
class Facts:
    """All that was taken in."""

    copies: dict[str, list[Delivery]] = field(default_factory=lambda: defaultdict(list))
    states: dict[str, Dispatch] = field(default_factory=dict)
    """By dispatch: the fold of its records, by rule."""
    numbers: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """By dispatch: the partition numbers that its records lie in."""
    intents: dict[Addressed, list[Appended]] = field(default_factory=lambda: defaultdict(list))
    sends: dict[Addressed, list[Send]] = field(default_factory=lambda: defaultdict(list))
    letters: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By dispatch: why it lies among the dead letters."""
    set_aside: set[str] = field(default_factory=set)
    """Places of records that lie among the dead letters."""
    ranges: dict[Place, list[range]] = field(default_factory=lambda: defaultdict(list))
    """Offsets that dead letters stand for beyond their origin."""
    moved: set[str] = field(default_factory=set)
    """Places of records that were moved."""
    records: dict[Place, list[Record]] = field(default_factory=lambda: defaultdict(list))
    """The event topics."""
    contacts_since: dict[str, float] = field(default_factory=dict)
    _fates: dict[str, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))
    """By program, with which a member's name begins: what befell it, and when."""
    _calls: dict[int, Send] = field(default_factory=dict)
    _by_message: dict[str, Send] = field(default_factory=dict)

    def befell(self, program: str, since: float, until: float, *what: str) -> bool:
        """Return whether something of *what* befell a program in that time."""
        return any(since <= at <= until and told in what for at, told in self._fates[program])

    def message(self, message_id: str | None) -> Send | None:
        """Return the send that SES gave this id."""
        return self._by_message.get(message_id or "")

    def copies_of(self, dispatch_id: str) -> list[Delivery]:
        """Return the copies of the event that a dispatch is of: others may lie there under its id."""
        digest = self.states[dispatch_id].digest
        return [copy for copy in self.copies[dispatch_id] if copy.event.digest == digest]

    def take(self, entry: Entry) -> None:
        """Take an entry in."""
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
            case Happened(program=member, at=at, what=what):
                program, _, _ = member.partition(".")
                self._fates[program].append((at, what))

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
        else:
            self._append_event(record)

    def _append_letter(self, record: Record) -> None:
        letter = from_record(record.key, record.value, record.headers)
        assert letter is not None  # replicas write nothing else there
        place = Place(letter.origin.topic, letter.origin.partition)
        self.set_aside.add(f"{place.topic}-{place.partition}-{letter.origin.offset}")
        if letter.last_offset is not None:
            self.ranges[place].append(range(letter.origin.offset, letter.last_offset + 1))

    def is_junk_of_a_range(self, record: Record) -> bool:
        """Return whether a record is one of those that a dead letter of a range stands for; no sound event ever is."""
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
        event = event_at_home(record)
        if event is not None:
            self.copies[event.dispatch_id].append(Delivery(record, event))

    def _append_dispatch(self, entry: Appended) -> None:
        dispatch = cached_parse_dispatch(entry.record.value)
        assert dispatch is not None  # replicas write nothing else there
        id_ = dispatch.dispatch_id
        known = self.states.get(id_)
        self.states[id_] = dispatch if known is None else fold(known, dispatch)
        self.numbers[id_].add(entry.record.partition)
        for recipient in dispatch.recipients:
            if recipient.status is Status.SENDING:
                self.intents[id_, recipient.contact_id].append(entry)
            send = self.message(recipient.message_id)
            if send is not None and send.recorded_at is None:
                send.recorded_at = entry.at


def event_at_home(record: Record) -> Event | None:
    """Return the event of a record that lies where it belongs; None of any other record."""
    try:
        event = decode(record.headers, record.value)
    except NotAnEvent:
        return None
    home = (event.kind.topic, partition_for(event.mentor_id, PARTITIONS), event.mentor_id.encode())
    return event if (record.topic, record.partition, record.key) == home else None


def name_of(record: Record) -> str:
    """Return a record's place as headers write it."""
    return str(record.position)
