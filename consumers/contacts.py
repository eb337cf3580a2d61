"""The contacts topic as a table: who is who, read to its end before the first event and followed from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog
from aiokafka.errors import KafkaError

from runtime.clock import Clock
from runtime.kafka.reader import Reader
from runtime.kafka.records import Record
from schemas.contacts import NEEDED, Contact, InvalidContact, read_contact

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 1.0
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

    def __len__(self) -> int:
        return len(self._table)

    def get(self, contact_id: str) -> Contact | Invalid | None:
        """Give a contact, that it is invalid, or None where it is unknown."""
        return self._table.get(contact_id)

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """Take in a record of the topic: the last for a key counts, a null value forgets it."""
        try:
            contact_id = (key or b"").decode()
        except UnicodeDecodeError:
            return
        if value is None:
            self._table.pop(contact_id, None)
            self._faulty.pop(contact_id, None)
            return
        try:
            contact, faults = read_contact(value, key=contact_id)
        except InvalidContact as error:  # no event can name such an id, so nobody is missed
            self._tell_faults(contact_id, error.faults)
            return
        wrong = next((field for field in NEEDED if field in faults), None)
        self._table[contact_id] = contact if wrong is None else Invalid(wrong, contact)
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


class ContactsFollower:
    """Keeps the table as the topic says, and tells when it was read to an end."""

    def __init__(
        self, contacts: Contacts, reader: Reader, topic: str, clock: Clock, *, on_change: Callable[[], None]
    ) -> None:
        self._contacts = contacts
        self._reader = reader
        self._topic = topic
        self._clock = clock
        self._on_change = on_change
        self._moved = asyncio.Event()
        self.caught_up = False
        """Whether the table was read to its end once."""

    @property
    def known(self) -> int:
        """Give how many contacts are known."""
        return len(self._contacts)

    async def until_caught_up(self) -> None:
        """Wait until the table was read to its end once."""
        while not self.caught_up:
            await self._moved.wait()

    async def run(self) -> None:
        """Read from the beginning and follow, until cancelled."""
        while True:
            try:
                await self._begin()
                break
            except (KafkaError, TimeoutError, OSError) as error:
                log.warning("contacts.unreachable", error=type(error).__name__)
                await self._clock.sleep(_RETRY_SECONDS)
        while True:
            await self._poll()

    async def _begin(self) -> None:
        places = await self._reader.partitions(self._topic)
        ends = await self._reader.end_offsets(places)
        self._reader.follow(await self._reader.beginning_offsets(places))
        while any((self._reader.position(place) or 0) < end for place, end in ends.items()):
            await self._poll()
        self.caught_up = True
        self._on_change()
        self._tell()
        log.info("contacts.read", contacts=len(self._contacts))

    async def _poll(self) -> None:
        try:
            fetched = await self._reader.poll(timeout_ms=1000)
        except (KafkaError, TimeoutError, OSError) as error:
            log.warning("contacts.unreachable", error=type(error).__name__)
            await self._clock.sleep(_RETRY_SECONDS)
            return
        for records in fetched.records.values():
            for record in records:
                self._take(record)
        if fetched.records:
            self._on_change()
        self._tell()

    def _tell(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    def _take(self, record: Record) -> None:
        self._contacts.take(record.key, record.value)

    async def until_any(self) -> None:
        """Wait until anybody is known: an empty table says more of our surroundings than of a mentor."""
        while not len(self._contacts):
            await self._moved.wait()

    async def read_to_now(self) -> None:
        """Wait until the table holds all that the topic held when this was called."""
        while True:
            with suppress(KafkaError, TimeoutError, OSError):
                places = await self._reader.partitions(self._topic)
                ends = await self._reader.end_offsets(places)
                break
            await self._clock.sleep(_RETRY_SECONDS)
        while any((self._reader.position(place) or 0) < end for place, end in ends.items()):
            await self._moved.wait()
