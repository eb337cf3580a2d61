"""Topics that are recreated, and records that are deleted before anybody read them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from runtime.kafka.connection import connected_admin
from runtime.kafka.topics import Topics
from schemas.contacts import CONTACTS_TOPIC, Contact
from schemas.events import CERTIFICATIONS_TOPIC, PAUSES_TOPIC, Role
from schemas.placement import partition_for
from tests.chaos.checker import examine, slowest
from tests.chaos.cluster import World
from tests.chaos.load_driver import LoadDriver
from tests.chaos.poison import an_event
from tests.chaos.scenario import Figure, Scenario, load_driver, until_quiet
from tests.chaos.watcher import PARTITIONS
from tests.load import Load
from tests.waiting import until

_NOTICED_SECONDS = 30.0
_DELAY_SECONDS = 5.0
_ADMIN_SECONDS = 15.0
_CHANGES = "pause_notifications_topic_changes_total"
_UNSEEN = "pause_notifications_unseen_records_total"
_MOVED = "moved.example"
_DELETED = f"{CONTACTS_TOPIC} recreated"


class _Topics:
    """Deletes topics and records, and creates topics again."""

    def __init__(self, stage: World, admin: AIOKafkaAdminClient) -> None:
        self._stage = stage
        self._admin = admin
        self._names = Topics(stage.namespace)

    async def recreate(self, topic: str) -> None:
        """Delete a topic and create it again."""
        name = self._names.named(topic)
        self._stage.mark("fault", f"{topic} recreated")
        await self._admin.delete_topics([name])

        async def gone() -> bool:
            return name not in await self._admin.list_topics()

        await until(gone, within=_NOTICED_SECONDS, what=f"{topic} to be gone")
        copies = str(min(len(self._stage.shared.cluster.brokers), 3))
        arguments = "--partitions", str(PARTITIONS), "--replication-factor", copies
        await self._stage.command("topics", "create", *arguments)

    async def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Delete the records before an offset, as retention does."""
        self._stage.mark("fault", f"records of {topic}-{partition} deleted")
        place = TopicPartition(self._names.named(topic), partition)
        await self._admin.delete_records({place: RecordsToDelete(before_offset=offset)})


@asynccontextmanager
async def _topics(stage: World) -> AsyncIterator[_Topics]:
    async with connected_admin({"bootstrap_servers": stage.servers}, deadline_seconds=_ADMIN_SECONDS) as admin:
        yield _Topics(stage, admin)


async def recreated_topics(stage: World) -> Sequence[Figure]:
    """Recreate the contacts topic under load, then an event topic; then delete events before anybody read them."""
    events, more, unseen = stage.size(short=400, full=4000), stage.size(short=60, full=600), 50
    await stage.programs(replicas=2, facades=1)
    load = Load(events, name=stage.namespace)
    async with load_driver(stage, load) as driver, _topics(stage) as topics:
        await driver.contacts()
        async with asyncio.TaskGroup() as together:
            together.create_task(driver.run(range(events), per_second=stage.size(short=20, full=60)))
            together.create_task(_people_move(stage, driver, topics, load))
        await until_quiet(stage)
        delayed = slowest(stage.evidence)
        await _an_event_topic(stage, driver, topics, more)
        at = await _events_deleted_unseen(stage, driver, topics, unseen)
        await until_quiet(stage)
        counted = sum([await replica.metric(_UNSEEN) for replica in stage.replicas])
    letters = [letter for letter in stage.evidence.letters if letter.reason == "records_deleted"]
    return [
        Figure("mail to old addresses, after the new ones were there", _late_mail(stage), _NOTICED_SECONDS, "s"),
        Figure(
            "longest delay of mail while people moved",
            round(delayed, 1),
            _without_contacts(stage) + _DELAY_SECONDS,
            "s",
        ),
        Figure(
            "longest delay of mail beside a topic recreated",
            round(slowest(stage.evidence), 1),
            _NOTICED_SECONDS,
            "s",
        ),
        Figure("events of mentors not known again yet", examine(stage.evidence).letters["unknown_mentor"]),
        Figure("records deleted unseen that nobody counted", abs(unseen - counted), 0),
        Figure("dead letters of a range deleted unseen", abs(1 - len(letters)), 0, why=f"of {at}: {letters}"),
    ]


async def _people_move(stage: World, driver: LoadDriver, topics: _Topics, load: Load) -> None:
    """Recreate the contacts topic, with everybody at a new address."""
    await asyncio.sleep(3)
    await topics.recreate(CONTACTS_TOPIC)
    await asyncio.gather(*(driver.contact(_moved(contact)) for contact in load.contacts()))
    stage.mark("well", _MOVED)
    await until(lambda: _noticed(stage), within=_NOTICED_SECONDS, what="all replicas to read the new contacts")


def _moved(contact: Contact) -> Contact:
    return contact.model_copy(update={"email": f"{contact.id}@{_MOVED}"})


async def _noticed(stage: World) -> bool:
    ready = [(await replica.health())[0] == 200 for replica in stage.replicas]
    return all(ready) and all([await replica.metric(_CHANGES) for replica in stage.replicas])


def _without_contacts(stage: World) -> float:
    """Return how long the contacts were incomplete: nothing is sent without them."""
    deleted, there = (next(one.at for one in stage.evidence.marks if one.what == what) for what in (_DELETED, _MOVED))
    return round(there - deleted, 1)


def _late_mail(stage: World) -> float:
    """Return the seconds from when all new addresses were published to the last e-mail to an old one."""
    there = next(mark.at for mark in stage.evidence.marks if mark.what == _MOVED)
    at = {mail.message_id: mail.at for mail in stage.evidence.mails}
    lines = map(json.loads, stage.ses.log.read_text(encoding="utf-8").splitlines())
    old = [at[line["message_id"]] for line in lines if not str(line["to"][0]).endswith(_MOVED)]
    return round(max(max(old) - there, 0.0), 1)


async def _an_event_topic(stage: World, driver: LoadDriver, topics: _Topics, count: int) -> None:
    """Recreate an event topic between two loads; the second is of other mentors, since offsets begin again."""
    await topics.recreate(CERTIFICATIONS_TOPIC)
    evidence = stage.evidence
    evidence.commits[:] = [
        replace(one, offsets={place: at for place, at in one.offsets.items() if place[0] != CERTIFICATIONS_TOPIC})
        for one in evidence.commits
    ]  # they belong to another log
    for number in range(count):
        mentor = f"mentor-{number % 100:05}-anew"
        if number < 100:
            await driver.contact(Contact(id=mentor, role=Role.MENTOR, email=f"{mentor}@{_MOVED}"))
        await driver.publish(an_event("cert-expiry", f"{stage.namespace}-anew-{number}", mentor))
    await until_quiet(stage)


async def _events_deleted_unseen(stage: World, driver: LoadDriver, topics: _Topics, count: int) -> str:
    """Stop all replicas, publish events and delete them, start replicas, and return the deleted range."""
    for replica in list(stage.replicas):
        await stage.stop(replica)
    mentor = "mentor-00000"
    partition, name = partition_for(mentor, PARTITIONS), Topics(stage.namespace).named(PAUSES_TOPIC)
    offsets = [await driver.put(name, mentor.encode(), b"{}", [], mentor) for _ in range(count)]
    await topics.delete_before(PAUSES_TOPIC, partition, offsets[-1] + 1)
    await asyncio.gather(stage.replica(), stage.replica())
    await driver.publish(an_event("pause-lifted", f"{stage.namespace}-behind", mentor))
    return f"{PAUSES_TOPIC}-{partition}, {offsets[0]} to {offsets[-1]}"


SCENARIOS = (
    Scenario("24", "topics-anew", "topics recreated, and events deleted before anybody read them", recreated_topics),
)
