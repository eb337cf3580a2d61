"""The follower of a compacted topic, with contacts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaConnectionError

from consumers.contacts import Contacts
from runtime.kafka.fetching import Fetched
from runtime.kafka.reader import Reader
from runtime.kafka.records import Place, Record
from runtime.kafka.table_follower import TableFollower
from runtime.kafka.topic_watch import ANEW, TopicRecreated
from schemas.contacts import CONTACTS_TOPIC, Contact, contact_json
from schemas.events import Role
from tests.fakes.clock import FakeClock
from tests.fakes.kafka_log import APPENDED_AT
from tests.waiting import until

PLACE = Place(CONTACTS_TOPIC, 0)


def _record(offset: int, contact_id: str, address: str | None) -> Record:
    contact = None if address is None else Contact(id=contact_id, role=Role.MENTOR, email=address)
    value = None if contact is None else contact_json(contact)
    return Record(*PLACE, offset, contact_id.encode(), value, [], APPENDED_AT, 1)


class FakeReader(Reader):
    """A topic of one partition in memory, which can be recreated."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.recreated = False
        self.failing = False
        self.looks = 0
        self.reachable = asyncio.Event()
        """Whether the topic's end can be looked up."""
        self.reachable.set()
        self._next = 0
        self._arrived = asyncio.Event()

    def append(self, contact_id: str, address: str | None) -> None:
        """Append a contact; None as its address deletes it."""
        self.records.append(_record(len(self.records), contact_id, address))
        self._arrived.set()

    def recreate(self) -> None:
        """Delete all records, and let the follower notice."""
        self.records, self.recreated = [], True
        self._arrived.set()

    async def partitions(self, topic: str) -> tuple[Place, ...]:
        """Return the only partition."""
        return (Place(topic, 0),)

    async def identify(self, topic: str) -> str | None:
        """Return the name as the id."""
        return topic

    async def end_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return the end once it can be looked up."""
        await self.reachable.wait()
        self.looks += 1
        return dict.fromkeys(places, len(self.records))

    async def beginning_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return zero."""
        return dict.fromkeys(places, 0)

    def follow(self, positions: Mapping[Place, int]) -> None:
        """Continue there."""
        (self._next,) = positions.values()

    def position(self, _place: Place) -> int | None:
        """Return the next offset to be read."""
        return self._next

    async def poll(self, *, timeout_ms: int = 500, max_records: int | None = 1000) -> Fetched:
        """Wait for records and return them."""
        assert (timeout_ms, max_records) == (1000, 1000)
        while not self.recreated and self._next >= len(self.records):
            self._arrived.clear()
            await self._arrived.wait()
        if self.recreated:
            self.recreated = False
            raise TopicRecreated(CONTACTS_TOPIC, ANEW)
        if self.failing:
            self.failing = False
            raise KafkaConnectionError("gone")
        found, self._next = self.records[self._next :], len(self.records)
        return Fetched({PLACE: found})


class Setup:
    """A follower, its reader and what it reports."""

    def __init__(self) -> None:
        self.contacts = Contacts()
        self.reader = FakeReader()
        self.clock = FakeClock()
        self.changes: list[tuple[bool, int]] = []
        """For each change: whether the table was current, and the number of valid contacts."""
        self.recreations: list[str] = []
        self.follower = TableFollower(
            self.contacts,
            self.reader,
            CONTACTS_TOPIC,
            self.clock,
            name="contacts",
            on_change=lambda: self.changes.append((self.contacts.current, self.contacts.valid)),
            on_recreated=lambda changed: self.recreations.append(changed.how),
        )

    def address(self, contact_id: str) -> str | None:
        """Return the address in the table."""
        contact = self.contacts.get(contact_id)
        return contact.email if isinstance(contact, Contact) else None


@asynccontextmanager
async def running_follower() -> AsyncIterator[Setup]:
    """Run a follower until the block ends."""
    setup = Setup()
    running = asyncio.create_task(setup.follower.run())
    try:
        yield setup
    finally:
        running.cancel()
        await asyncio.wait([running])


def test_invalid_contacts_are_counted_apart() -> None:
    """A contact that breaks the contract counts as invalid until it is corrected or deleted."""
    contacts = Contacts()
    counts = []
    invalid = b'{"id":"a","role":"mentor","email":"nobody"}'
    for value in (invalid, invalid, contact_json(Contact(id="a", role=Role.MENTOR, email="a@b.org")), invalid, None):
        contacts.take(b"a", value)
        counts.append((contacts.valid, contacts.invalid))

    assert [(0, 1), (0, 1), (1, 0), (0, 1), (0, 0)] == counts


async def test_a_recreated_topic_replaces_the_table() -> None:
    """A contact that the new topic lacks is unknown, and the table is not current until the new topic is read."""
    async with running_follower() as setup:
        setup.reader.append("a", "old@example.org")
        setup.reader.append("b", "b@example.org")
        await until(lambda: setup.contacts.valid == 2, what="the table")
        setup.reader.recreate()
        setup.reader.append("a", "new@example.org")
        await until(lambda: setup.address("a") == "new@example.org", what="the new table")

        assert setup.contacts.get("b") is None
        assert [ANEW] == setup.recreations
        assert [(False, 2), (True, 1)] == setup.changes[-2:]


async def test_the_old_table_is_not_mixed_with_the_new_one() -> None:
    """While the new topic is read, the old table does not change, and whoever waits for the table keeps waiting."""
    async with running_follower() as setup:
        setup.reader.append("a", "old@example.org")
        await until(lambda: setup.contacts.valid == 1, what="the table")
        setup.reader.reachable.clear()
        setup.reader.recreate()
        setup.reader.append("b", "new@example.org")
        await until(lambda: not setup.follower.caught_up, what="the change")
        waiting = asyncio.create_task(setup.follower.until(lambda: setup.contacts.current and setup.contacts.valid > 0))

        assert setup.contacts.get("b") is None
        assert not waiting.done()

        setup.reader.reachable.set()
        async with asyncio.timeout(5):
            await waiting
        assert setup.contacts.get("a") is None
        assert "new@example.org" == setup.address("b")


async def test_it_continues_after_an_error() -> None:
    """If Kafka is unreachable for a while, the follower pauses and tries again."""
    async with running_follower() as setup:
        setup.reader.failing = True
        setup.reader.append("a", "a@example.org")
        await until(lambda: setup.clock.sleepers == 1, what="the pause")
        await setup.clock.advance(1)

        await until(lambda: setup.contacts.valid == 1, what="the table")


async def test_many_callers_share_one_look() -> None:
    """All callers that arrive during a look at the topic share the next look."""
    async with running_follower() as setup:
        await until(lambda: setup.follower.caught_up, what="the table")
        before = setup.reader.looks
        asking = [asyncio.create_task(setup.follower.read_to_now()) for _ in range(500)]
        async with asyncio.timeout(5):
            await asyncio.gather(*asking)

        assert 1 == setup.reader.looks - before


async def test_a_look_in_progress_does_not_count() -> None:
    """That look may have found the end before the caller's contact was written."""
    async with running_follower() as setup:
        await until(lambda: setup.follower.caught_up, what="the table")
        setup.reader.reachable.clear()
        first = asyncio.create_task(setup.follower.read_to_now())
        await setup.clock.advance(0)
        before = setup.reader.looks
        second = asyncio.create_task(setup.follower.read_to_now())
        await setup.clock.advance(0)
        setup.reader.reachable.set()
        async with asyncio.timeout(5):
            await asyncio.gather(first, second)

        assert 2 == setup.reader.looks - before
