"""The contacts topic as a table: who is who, read to its end before the first event and followed from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from runtime.clock import Clock
from runtime.kafka.reader import Reader
from runtime.kafka.records import Place
from runtime.kafka.retry import until_kafka_answers
from runtime.kafka.topic_watch import TopicRecreated
from schemas.contacts import NEEDED, Contact, InvalidContact, read_contact

log = structlog.get_logger(__name__)

_MAX_LOGGED = 1000
"""So many contacts with faults are logged; the metric counts the others, too."""


@dataclass(frozen=True)
class Invalid:
    """What stands in the table for a contact that breaks the contract: not to be written to."""

    field: str
    """The field that is wrong."""
    rest: Contact
    """What could be read of it all the same: who coordinates this mentor, say."""


def _uncounted(_field: str) -> None:
    """Count nothing."""


class Contacts:
    """Everybody known, by id; an id that is invalid in the topic is known as such."""

    def __init__(self, *, on_fault: Callable[[str], None] = _uncounted) -> None:
        """Take in *on_fault* what is told of each contact's field that breaks the contract, once."""
        self._table: dict[str, Contact | Invalid] = {}
        self._faulty: dict[str, frozenset[str]] = {}
        self._on_fault = on_fault
        self._logged = 0
        self._invalid = 0
        self.current = False
        """Whether the table is the topic's, read to its end: it is not while a topic made anew is read."""

    @property
    def valid(self) -> int:
        """Return how many can be written to."""
        return len(self._table) - self._invalid

    @property
    def invalid(self) -> int:
        """Return how many ids have a contact that breaks the contract."""
        return self._invalid

    def get(self, contact_id: str) -> Contact | Invalid | None:
        """Return a contact, that it is invalid, or None if it is unknown."""
        return self._table.get(contact_id)

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """Take in a record of the topic: the last for a key counts, a null value forgets it."""
        try:
            contact_id = (key or b"").decode()
        except UnicodeDecodeError:
            return
        if isinstance(self._table.pop(contact_id, None), Invalid):
            self._invalid -= 1
        if value is None:
            self._faulty.pop(contact_id, None)
            return
        try:
            contact, faults = read_contact(value, key=contact_id)
        except InvalidContact as error:  # no event can name such an id, so nobody is missed
            self._tell_faults(contact_id, error.faults)
            return
        wrong = next((field for field in NEEDED if field in faults), None)
        self._table[contact_id] = contact if wrong is None else Invalid(wrong, contact)
        self._invalid += wrong is not None
        self._tell_faults(contact_id, faults)

    def _tell_faults(self, contact_id: str, faults: Mapping[str, str]) -> None:
        """Count and log what is wrong with a contact, unless that was known."""
        known, found = self._faulty.get(contact_id, frozenset()), frozenset(faults)
        if found == known:
            return
        if found:
            self._faulty[contact_id] = found
        else:
            self._faulty.pop(contact_id)
        for field in found - known:
            self._on_fault(field)
        if not found or self._logged >= _MAX_LOGGED:
            return
        self._logged += 1
        problem = "; ".join(f"{field}: {rule}" for field, rule in faults.items())
        event = "contacts.fallback" if found.isdisjoint(NEEDED) else "contacts.invalid"
        log.warning(event, contact=contact_id[:128], problem=problem)

    def fresh(self) -> Contacts:
        """Return an empty table that tells of no fault that was told of already."""
        fresh = Contacts(on_fault=self._on_fault)
        fresh._faulty = dict(self._faulty)
        return fresh

    def replace(self, fresh: Contacts) -> None:
        """Become what *fresh* holds, the topic read to its end."""
        self._table, self._invalid, self._faulty, self.current = fresh._table, fresh._invalid, fresh._faulty, True


class ContactsFollower:
    """
    Keeps the table as the topic says, and tells when it was read to an end.

    A topic made anew is read into a fresh table, which replaces the old one at its end. Until then the table is not
    current: whoever decides or sends by it must wait.
    """

    def __init__(
        self,
        contacts: Contacts,
        reader: Reader,
        topic: str,
        clock: Clock,
        *,
        on_change: Callable[[], None],
        on_made_anew: Callable[[TopicRecreated], None] = lambda _: None,
    ) -> None:
        self.contacts = contacts
        self._reader = reader
        self._topic = topic
        self._clock = clock
        self._on_change = on_change
        self._on_made_anew = on_made_anew
        self._moved = asyncio.Event()
        self._asked = asyncio.Event()
        self._answer: asyncio.Future[None] | None = None

    @property
    def caught_up(self) -> bool:
        """Return whether the table is the topic's, read to its end."""
        return self.contacts.current

    async def until_caught_up(self) -> None:
        """Wait until the table is the topic's, read to its end."""
        while not self.caught_up:
            await self._moved.wait()

    async def run(self) -> None:
        """Read from the beginning and follow, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._answer_looks())

    async def _follow(self) -> None:
        while True:
            try:
                await until_kafka_answers(
                    self._read_whole, self._clock, "contacts.unreachable", reraise=(TopicRecreated,)
                )
                while True:
                    await self._poll(self.contacts)
            except TopicRecreated as changed:
                self._distrust(changed)

    def _distrust(self, changed: TopicRecreated) -> None:
        self.contacts.current = False
        log.error("contacts.topic_changed", topic=changed.topic, how=changed.how)
        self._on_made_anew(changed)
        self._changed()

    async def _read_whole(self) -> None:
        """Read the topic from its beginning to its end into a fresh table, and put that in place."""
        places = await self._reader.partitions(self._topic)
        await self._reader.identify(self._topic)
        ends = await self._reader.end_offsets(places)
        self._reader.follow(await self._reader.beginning_offsets(places))
        fresh = self.contacts.fresh()
        while self._is_behind(ends):
            await self._poll(fresh)
        self.contacts.replace(fresh)
        self._changed()
        log.info("contacts.read", contacts=self.contacts.valid, invalid=self.contacts.invalid)

    async def _ends(self) -> dict[Place, int]:
        return await self._reader.end_offsets(await self._reader.partitions(self._topic))

    def _is_behind(self, ends: Mapping[Place, int]) -> bool:
        return any((self._reader.position(place) or 0) < end for place, end in ends.items())

    async def _poll(self, table: Contacts) -> None:
        """Take what came into *table*. Raises TopicMadeAnew."""
        fetched = await until_kafka_answers(
            lambda: self._reader.poll(timeout_ms=1000),
            self._clock,
            "contacts.unreachable",
            reraise=(TopicRecreated,),
        )
        for records in fetched.records.values():
            for record in records:
                table.take(record.key, record.value)
        if fetched.records and table is self.contacts:
            self._on_change()
        self._tell()

    def _changed(self) -> None:
        self._on_change()
        self._tell()

    def _tell(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def until_any(self) -> None:
        """Wait until anybody can be written to: an empty table says more of our surroundings than of a mentor."""
        while not (self.caught_up and self.contacts.valid):
            await self._moved.wait()

    async def read_to_now(self) -> None:
        """
        Wait until the table holds all that the topic held when this was called.

        All who ask while a look at the topic is under way share the next one.
        """
        if self._answer is None:
            self._answer = asyncio.get_running_loop().create_future()
            self._asked.set()
        await asyncio.shield(self._answer)

    async def _answer_looks(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            answer, self._answer = self._answer, None
            await self._look()
            if answer is not None:
                answer.set_result(None)

    async def _look(self) -> None:
        """Find where the topic ends now, and wait until it was read to there."""
        while True:
            await self.until_caught_up()
            ends = await until_kafka_answers(self._ends, self._clock, "contacts.unreachable")
            while self.caught_up and self._is_behind(ends):
                await self._moved.wait()
            if self.caught_up:
                return
