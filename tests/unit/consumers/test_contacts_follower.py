"""How the table of contacts follows its topic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaConnectionError

from consumers.contacts import Contacts, ContactsFollower
from runtime.kafka.fetching import Fetched
from runtime.kafka.reader import Reader
from runtime.kafka.records import Place, Record
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
    """A topic of one partition in memory, which can be made anew."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.anew = False
        self.failing = False
        self.ends_asked = 0
        self.answers = asyncio.Event()
        """Whether the ends are told."""
        self.answers.set()
        self._next = 0
        self._came = asyncio.Event()

    def append(self, contact_id: str, address: str | None) -> None:
        """Append a contact, `None` for one that is forgotten."""
        self.records.append(_record(len(self.records), contact_id, address))
        self._came.set()

    def make_anew(self) -> None:
        """Delete all records, and let the follower notice."""
        self.records, self.anew = [], True
        self._came.set()

    async def partitions(self, topic: str) -> tuple[Place, ...]:
        """Return the one."""
        return (Place(topic, 0),)

    async def identify(self, topic: str) -> str | None:
        """Take the topic for what it is."""
        return topic

    async def end_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return the end."""
        await self.answers.wait()
        self.ends_asked += 1
        return dict.fromkeys(places, len(self.records))

    async def beginning_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return the beginning."""
        return dict.fromkeys(places, 0)

    def follow(self, positions: Mapping[Place, int]) -> None:
        """Follow from there."""
        (self._next,) = positions.values()

    def position(self, _place: Place) -> int | None:
        """Return the next offset to be read."""
        return self._next

    async def poll(self, *, timeout_ms: int = 500, max_records: int | None = 1000) -> Fetched:
        """Return what came, waiting for it."""
        assert (timeout_ms, max_records) == (1000, 1000)
        while not self.anew and self._next >= len(self.records):
            self._came.clear()
            await self._came.wait()
        if self.anew:
            self.anew = False
            raise TopicRecreated(CONTACTS_TOPIC, ANEW)
        if self.failing:
            self.failing = False
            raise KafkaConnectionError("gone")
        found, self._next = self.records[self._next :], len(self.records)
        return Fetched({PLACE: found})


class Following:
    """A follower at work."""

    def __init__(self) -> None:
        self.contacts = Contacts()
        self.reader = FakeReader()
        self.clock = FakeClock()
        self.changes: list[tuple[bool, int]] = []
        """After each change: whether the table was current, and how many could be written to."""
        self.made_anew: list[str] = []
        self.follower = ContactsFollower(
            self.contacts,
            self.reader,
            CONTACTS_TOPIC,
            self.clock,
            on_change=lambda: self.changes.append((self.contacts.current, self.contacts.valid)),
            on_made_anew=lambda changed: self.made_anew.append(changed.how),
        )

    def address(self, contact_id: str) -> str | None:
        """Return the address in the table."""
        contact = self.contacts.get(contact_id)
        return contact.email if isinstance(contact, Contact) else None


@asynccontextmanager
async def _following() -> AsyncIterator[Following]:
    following = Following()
    running = asyncio.create_task(following.follower.run())
    try:
        yield following
    finally:
        running.cancel()
        await asyncio.wait([running])


def test_invalid_contacts_are_counted_apart() -> None:
    """A contact that breaks the contract is not among those who can be written to, until it is mended or forgotten."""
    contacts = Contacts()
    counts = []
    invalid = b'{"id":"a","role":"mentor","email":"nobody"}'
    for value in (invalid, invalid, contact_json(Contact(id="a", role=Role.MENTOR, email="a@b.org")), invalid, None):
        contacts.take(b"a", value)
        counts.append((contacts.valid, contacts.invalid))

    assert [(0, 1), (0, 1), (1, 0), (0, 1), (0, 0)] == counts


async def test_a_topic_made_anew_replaces_the_table() -> None:
    """Nothing is known any more of whom the new topic does not name, and the table is not current meanwhile."""
    async with _following() as following:
        following.reader.append("a", "old@example.org")
        following.reader.append("b", "b@example.org")
        await until(lambda: following.contacts.valid == 2, what="the table")
        following.reader.make_anew()
        following.reader.append("a", "new@example.org")
        await until(lambda: following.address("a") == "new@example.org", what="the new table")

        assert None is following.contacts.get("b")
        assert [ANEW] == following.made_anew
        assert [(False, 2), (True, 1)] == following.changes[-2:]


async def test_the_old_table_is_not_mixed_with_the_new_one() -> None:
    """While the new topic is read nothing of it is in the old table, and who waits for the table waits on."""
    async with _following() as following:
        following.reader.append("a", "old@example.org")
        await until(lambda: following.contacts.valid == 1, what="the table")
        following.reader.answers.clear()
        following.reader.make_anew()
        following.reader.append("b", "new@example.org")
        await until(lambda: not following.follower.caught_up, what="the change")
        waiting = asyncio.create_task(following.follower.until_any())

        assert (None, False) == (following.contacts.get("b"), waiting.done())

        following.reader.answers.set()
        async with asyncio.timeout(5):
            await waiting
        assert (None, "new@example.org") == (following.contacts.get("a"), following.address("b"))


async def test_after_an_error_it_goes_on() -> None:
    """Kafka away for a while costs time alone."""
    async with _following() as following:
        following.reader.failing = True
        following.reader.append("a", "a@example.org")
        await until(lambda: following.clock.sleepers == 1, what="the pause")
        await following.clock.advance(1)

        await until(lambda: following.contacts.valid == 1, what="the table")


async def test_many_who_ask_share_one_look() -> None:
    """Who asks while a look at the topic is under way gets the next one, and that is one for all of them."""
    async with _following() as following:
        await until(lambda: following.follower.caught_up, what="the table")
        before = following.reader.ends_asked
        asking = [asyncio.create_task(following.follower.read_to_now()) for _ in range(500)]
        async with asyncio.timeout(5):
            await asyncio.gather(*asking)

        assert 1 == following.reader.ends_asked - before


async def test_a_look_that_was_under_way_does_not_count() -> None:
    """It may have asked for the end before the caller's contact was written."""
    async with _following() as following:
        await until(lambda: following.follower.caught_up, what="the table")
        following.reader.answers.clear()
        first = asyncio.create_task(following.follower.read_to_now())
        await following.clock.advance(0)
        before = following.reader.ends_asked
        second = asyncio.create_task(following.follower.read_to_now())
        await following.clock.advance(0)
        following.reader.answers.set()
        async with asyncio.timeout(5):
            await asyncio.gather(first, second)

        assert 2 == following.reader.ends_asked - before
