"""The contacts topic as a table: who is who, read to its end before the first event and followed from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog
from aiokafka.errors import KafkaError

from runtime.clock import Clock
from runtime.kafka.reader import Reader
from runtime.kafka.records import Record
from schemas.contacts import Contact, InvalidContact, parse_contact

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 1.0


class Invalid:
    """What stands in the table for a contact that breaks the contract: known, but not to be written to."""


class Contacts:
    """Everybody known, by id; an id that is invalid in the topic is known as such."""

    def __init__(self) -> None:
        self._table: dict[str, Contact | Invalid] = {}

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
            return
        try:
            self._table[contact_id] = parse_contact(value, key=contact_id)
        except InvalidContact as error:
            log.warning("contacts.invalid", contact=contact_id, problem=str(error))
            self._table[contact_id] = Invalid()


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
