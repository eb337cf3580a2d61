"""A stage for our programs: topics in a namespace, contacts, a local SES, and all results visible from outside.

The stage collects dispatches, dead letters and mails while it is open, so that tests only wait for them.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from deploy.local.ses.app import create_app
from deploy.local.ses.faults import Faults
from deploy.local.ses.mails import Mail
from deploy.local.ses.server import running as ses_running
from deploy.local.ses.sqs_queue import SqsQueue
from runtime.kafka.connection import connected_admin
from runtime.kafka.publisher import KafkaPublisher, Published
from runtime.kafka.reader import Reader, RecordReader
from runtime.kafka.records import Place, Record
from runtime.kafka.topic_watch import TopicRecreated
from runtime.kafka.topics import Topics, create_topics
from schemas.cloudevents import encode_binary, encode_structured
from schemas.contacts import CONTACTS_TOPIC, Contact, contact_json, read_contacts
from schemas.dead_letters import DeadLetter, from_record
from schemas.dispatch import Dispatch, fold, parse_dispatch
from schemas.events import EVENTS_BY_NAME, Event
from schemas.headers import Headers, is_ours
from schemas.placement import partition_for
from tests import processes
from tests.processes import ROOT, Process
from tests.signing import KEYS
from tests.sqs import Queue
from tests.waiting import until

_AGAIN_SECONDS = 0.1
_PATIENCE_SECONDS = 60.0
"""For what the stage itself asks of Kafka and SES: a machine with other load may be slow, and no test is about that."""
PARTITIONS = 4
SAMPLE_CONTACTS = ROOT / "deploy" / "local" / "contacts.jsonl"
_SAMPLES_IN_FULL = 47  # the samples after these lack a field

QUICK: dict[str, dict[str, object]] = {
    "consumers": {
        "session_timeout_seconds": 6,
        "heartbeat_seconds": 1,
        "ses_timeout_seconds": 10,
        "record_deadline_seconds": 1,
        "commit_deadline_seconds": 1,
        "drain_seconds": 16,
        "rebalance_timeout_seconds": 20,
        "request_timeout_seconds": 25,
        "account_interval_seconds": 1,
        "backoff_base_seconds": 0.05,
        "backoff_max_seconds": 0.5,
    },
    "service": {"http_host": "127.0.0.1", "drain_seconds": 6},
}
"""
By program: the default settings of tests, with short time-outs.

That of SES is long: on a busy machine a late answer would count as lost, and the e-mail would be sent twice.
"""


def an_event(name: str = "pause-activated", mentor_id: str = "mentor-001", **data: object) -> Event:
    """Return an event like the contract's example, with an identity of its own."""
    kind = EVENTS_BY_NAME[name]
    valid = kind.model.model_validate({**kind.example, "mentor_id": mentor_id, **data})
    return Event(kind=kind, id=str(uuid.uuid4()), source="/tests", data=valid)


def mentor(number: int) -> str:
    """Return the id of a sample mentor with an address and a coordinator with an address, in rotation."""
    return f"mentor-{number % _SAMPLES_IN_FULL + 1:03}"


class Ses:
    """The local SES of a stage."""

    def __init__(self, address: str, mails: Sequence[Mail], client: httpx.AsyncClient) -> None:
        self.address = address
        self.mails = mails
        """Every mail that was accepted, in order, whether or not the answer arrived."""
        self._client = client

    def sent_to(self, dispatch_id: str) -> Counter[str]:
        """Count the mails of a dispatch by recipient."""
        tags = (mail.email.tags for mail in list(self.mails))
        return Counter(tag["recipient"] for tag in tags if tag["dispatch_id"] == dispatch_id)

    def sends(self) -> Counter[tuple[str, str]]:
        """Count all mails by dispatch and recipient."""
        tags = (mail.email.tags for mail in list(self.mails))
        return Counter((tag["dispatch_id"], tag["recipient"]) for tag in tags)

    async def set(self, **faults: object) -> None:
        """Inject these faults of the account, the network or recipients; reset all others."""
        healthy = Faults(max_send_rate=_SEND_RATE).model_dump()
        (await self._client.put("/admin/faults", json={**healthy, **faults})).raise_for_status()


_SEND_RATE = 2000.0


@dataclass(frozen=True)
class Seen:
    """One dispatch record and its position."""

    place: Place
    offset: int
    dispatch: Dispatch


class Observed:
    """The dispatches and dead letters of a namespace, collected as they are written."""

    reader: Reader
    asker: Reader
    followed: tuple[Place, ...]
    reading: asyncio.Task[None]

    def __init__(self, topics: Topics) -> None:
        self.topics = topics
        self.dispatches: dict[str, Dispatch] = {}
        """By id: the fold of all its records so far."""
        self.history: list[Seen] = []
        self.letters: list[DeadLetter] = []
        self.letter_records: list[Record] = []

    def take(self, record: Record) -> None:
        """Collect a dispatch or a dead letter."""
        if record.topic == self.topics.dead_letters:
            letter = from_record(record.key, record.value, record.headers)
            assert letter is not None, f"{record.position} is not a dead letter"
            self.letters.append(letter)
            self.letter_records.append(record)
            return
        dispatch = parse_dispatch(record.value)
        assert dispatch is not None, f"{record.position} is not a dispatch"
        known = self.dispatches.get(dispatch.dispatch_id)
        self.dispatches[dispatch.dispatch_id] = dispatch if known is None else fold(known, dispatch)
        self.history.append(Seen(record.place, record.offset, dispatch))

    async def caught_up(self) -> None:
        """Wait until all dispatches and dead letters written so far are collected."""
        ends = await self.asker.end_offsets(self.followed)

        def read() -> bool:
            return all((self.reader.position(place) or 0) >= end for place, end in ends.items())

        await until(read, what="dispatches and dead letters read to their ends")

    def letters_of(self, published: Published) -> list[DeadLetter]:
        """Return the dead letters of a record."""
        origin = (published.topic, published.partition, published.offset)
        return [one for one in self.letters if (one.origin.topic, one.origin.partition, one.origin.offset) == origin]

    async def follow(self, reader: Reader, asker: Reader) -> None:
        """
        Start reading dispatches and dead letters from their beginning.

        *asker* looks up offsets: on the reader's own connection a look-up would wait behind its fetches.
        """
        self.reader, self.asker = reader, asker
        places = [await reader.partitions(topic) for topic in (self.topics.dispatches, self.topics.dead_letters)]
        for topic in (self.topics.dispatches, self.topics.dead_letters):
            await reader.identify(topic)  # a test may create it anew before the reader looks by itself
        self.followed = tuple(place for some in places for place in some)
        reader.follow(dict.fromkeys(self.followed, 0))

    async def keep_reading(self) -> None:
        """Collect new records until cancelled."""
        while True:
            try:
                fetched = await self.reader.poll(timeout_ms=100)
            except TopicRecreated:
                self.reader.follow_anew()
                continue
            except KafkaError:  # the topic is missing for a moment in tests that delete it
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            for records in fetched.records.values():
                for record in records:
                    self.take(record)


class Stage(Observed):
    """Everything around our programs: topics, contacts, SES, and the programs themselves."""

    def __init__(
        self,
        bootstrap_servers: str,
        topics: Topics,
        publisher: KafkaPublisher,
        admin: AIOKafkaAdminClient,
        ses: Ses,
        programs: AsyncExitStack,
        logs: Path,
        queue: Queue | None,
    ) -> None:
        super().__init__(topics)
        self.bootstrap_servers = bootstrap_servers
        self.ses = ses
        self.queue = queue
        """Where SES publishes its events, and from where replicas take them; None if feedback is off."""
        self.contacts: list[Contact] = []
        self.processes: list[Process] = []
        self.more_environ: dict[str, str] = {}
        """Further variables of the programs started from now on."""
        self.tree = ROOT
        """The source tree of the programs started from now on: this one, or that of another release."""
        self._publisher = publisher
        self._admin = admin
        self._programs = programs
        self._logs = logs

    # -- programs ------------------------------------------------------------------------------------------------

    def settings(self, program: str = "consumers") -> dict[str, object]:
        """Return the settings by which a program finds this stage."""
        own = {} if self.queue is None or program != "consumers" else self.queue.settings
        return {
            "kafka_bootstrap_servers": self.bootstrap_servers,
            "namespace": self.topics.namespace,
            **own,
        }

    @property
    def environ(self) -> dict[str, str]:
        """Return the variables by which a program finds this stage."""
        queue = {} if self.queue is None else self.queue.environ
        return {"AWS_ENDPOINT_URL_SESV2": self.ses.address, **queue, **self.more_environ}

    async def start(self, program: str = "consumers", **settings: object) -> Process:
        """Start a program and wait until it is ready; the stage ends it at the latest."""
        process = await self.launch(program, **settings)
        await process.ready()
        return process

    async def launch(self, program: str = "consumers", **settings: object) -> Process:
        """Start a program; the stage ends it at the latest."""
        chosen = {**self.settings(program), **QUICK[program], **settings}
        log = self._logs / f"{self.topics.namespace}-{program}-{len(self.processes)}.log"
        environ = self.environ
        process = await self._programs.enter_async_context(
            processes.running(program, chosen, log_as=log, environ=environ, tree=self.tree)
        )
        self.processes.append(process)
        return process

    def check(self) -> None:
        """Raise if a program, or the reading of topics, has ended by itself: then no wait can succeed."""
        for process in self.processes:
            process.check_running()
        if self.reading.done():
            self.reading.result()

    # -- input ---------------------------------------------------------------------------------------------------

    async def publish(self, event: Event, *more_headers: tuple[str, bytes], structured: bool = False) -> Published:
        """Publish an event as a correct producer does; with `pn_` headers, as our own programs do."""
        record = (encode_structured if structured else encode_binary)(event)
        headers: Headers = [*record.headers, *more_headers]
        if any(is_ours(name) for name, _ in more_headers):
            headers = KEYS.signed(self.topics.named(record.topic), record.key, record.value, headers)
        return await self.put(record.topic, event.mentor_id, key=record.key, value=record.value, headers=headers)

    async def publish_all(self, events: Sequence[Event]) -> list[Published]:
        """Publish events concurrently."""
        return await asyncio.gather(*map(self.publish, events))

    async def put(
        self, topic: str, mentor_id: str, *, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> Published:
        """Publish any record to the partition of *mentor_id*."""
        return await self.put_at(self.place(topic, mentor_id), key=key, value=value, headers=headers)

    async def put_at(self, place: Place, *, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Published:
        """Publish any record to any partition."""
        return await self._publisher.publish(*place, key=key, value=value, headers=headers)

    def place(self, topic: str, mentor_id: str) -> Place:
        """Return the partition of a mentor in one of the contract's topics."""
        return Place(self.topics.named(topic), partition_for(mentor_id, PARTITIONS))

    async def put_contact(self, contact: Contact) -> None:
        """Publish a contact."""
        self.contacts.append(contact)
        place = self.place(CONTACTS_TOPIC, contact.id)
        await self.put_at(place, key=contact.id.encode(), value=contact_json(contact))

    # -- output --------------------------------------------------------------------------------------------------

    async def delete_topic(self, topic: str) -> None:
        """Delete one of the contract's topics, and wait until it is gone."""
        await self._admin.delete_topics([self.topics.named(topic)])

        async def gone() -> bool:
            return self.topics.named(topic) not in await self._admin.list_topics()

        await until(gone, what=f"{topic} to be gone")

    async def create_missing_topics(self) -> None:
        """Create the topics that are missing."""
        await create_topics(self._admin, self.topics, partitions=PARTITIONS, deadline_seconds=_PATIENCE_SECONDS)

    async def make_anew(self, topic: str) -> None:
        """Delete one of the contract's topics and create it again."""
        await self.delete_topic(topic)
        await self.create_missing_topics()

    async def delete_records(self, ends: Mapping[Place, int]) -> None:
        """Delete the records before these offsets, as retention does."""
        await self._admin.delete_records(
            {TopicPartition(*place): RecordsToDelete(before_offset=end) for place, end in ends.items()}
        )

    async def ended(self, event: Event, *, within: float = 15.0) -> Dispatch:
        """Wait until an event's dispatch is final, and return it."""
        (dispatch,) = await self.all_ended([event], within=within)
        return dispatch

    async def all_ended(self, events: Sequence[Event], *, within: float = 30.0) -> list[Dispatch]:
        """Wait until all dispatches of *events* are final, and return them in that order."""
        wanted = [event.dispatch_id for event in events]
        left = set(wanted)

        def all_final() -> bool:
            self.check()
            left.difference_update([id_ for id_ in left if id_ in self.dispatches and self.dispatches[id_].final])
            return not left

        await until(all_final, within=within, what=f"the end of {len(wanted)} dispatches")
        return [self.dispatches[id_] for id_ in wanted]

    async def passed(self, *published: Published, within: float = 15.0) -> None:
        """Wait until the group has committed past these records, and everything written by then is collected."""

        async def committed() -> bool:
            self.check()
            offsets = await self.committed()
            return all(offsets.get(Place(one.topic, one.partition), 0) > one.offset for one in published)

        await until(committed, within=within, what="offsets committed past the records")
        await self.caught_up()

    async def committed(self, group: str = "pause-notifications") -> dict[Place, int]:
        """Return a group's offsets."""
        asked = self._admin.list_consumer_group_offsets(self.topics.named(group))
        async with asyncio.timeout(10):
            found = await asked
        return {Place(*tp): metadata.offset for tp, metadata in found.items()}

    async def read(self, place: Place, offset: int) -> Record:
        """Return one record of any topic."""
        records = RecordReader({"bootstrap_servers": self.bootstrap_servers})
        await records.start()
        try:
            found = await records.read(place, offset)
        finally:
            await records.stop()
        assert found is not None, f"no record at {place}, offset {offset}"
        return found


def personal_data_in(log: str, contacts: Iterable[Contact], subjects: Iterable[str]) -> list[str]:
    """Return the addresses, names and subjects that occur in a log, plain or escaped as in JSON."""
    private = {text for contact in contacts for text in (contact.email, contact.name) if text} | set(subjects)
    low = log.lower()
    return sorted(text for text in private if text.lower() in low or json.dumps(text)[1:-1].lower() in low)


@asynccontextmanager
async def open_stage(
    bootstrap_servers: str, namespace: str, logs: Path, *, queue: Queue | None = None
) -> AsyncIterator[Stage]:
    """
    Open a stage with the sample contacts; at the end stop its programs and close its sockets.

    With a *queue*, SES publishes what becomes of e-mails, and replicas take it.

    After every test, no log of a program may hold personal data.
    """
    arguments: dict[str, Any] = {"bootstrap_servers": bootstrap_servers}
    mails: list[Mail] = []
    async with AsyncExitStack() as undo:
        events = None if queue is None else SqsQueue(queue.url)
        app = create_app(faults=Faults(max_send_rate=_SEND_RATE), log=mails.append, queue=events)
        address = undo.enter_context(ses_running(app))
        client = await undo.enter_async_context(
            httpx.AsyncClient(base_url=address, trust_env=False, timeout=_PATIENCE_SECONDS)
        )
        admin = await undo.enter_async_context(connected_admin(arguments, deadline_seconds=_PATIENCE_SECONDS))
        await create_topics(admin, Topics(namespace), partitions=PARTITIONS, deadline_seconds=_PATIENCE_SECONDS)
        publisher = KafkaPublisher(arguments, deadline_seconds=_PATIENCE_SECONDS)
        undo.push_async_callback(publisher.stop)
        await publisher.start()
        reader = await undo.enter_async_context(Reader(arguments))
        asker = await undo.enter_async_context(Reader(arguments))
        programs = await undo.enter_async_context(AsyncExitStack())
        ses = Ses(address, mails, client)
        stage = Stage(bootstrap_servers, Topics(namespace), publisher, admin, ses, programs, logs, queue)
        await stage.follow(reader, asker)
        stage.reading = asyncio.create_task(stage.keep_reading())
        undo.push_async_callback(_end, stage.reading)
        contacts = read_contacts(SAMPLE_CONTACTS.read_text().splitlines())
        await asyncio.gather(*map(stage.put_contact, contacts))
        yield stage
    subjects = {mail.email.subject for mail in mails}
    look = partial(personal_data_in, contacts=stage.contacts, subjects=subjects)
    assert {} == {one.name: found for one in stage.processes if (found := look(one.log.read_text()))}


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
