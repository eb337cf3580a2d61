"""Records that fail for good, and invalid records: they must not affect anybody else."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer

from runtime.kafka.topics import Topics
from schemas.contacts import Contact
from schemas.events import Event, Role
from schemas.placement import partition_for
from tests.chaos.batches import leader_of, produce, spoil
from tests.chaos.checker import last_final, named, slowest
from tests.chaos.cluster import World
from tests.chaos.evidence import Evidence
from tests.chaos.load_driver import LoadDriver
from tests.chaos.poison import KINDS, MOVED, SENT, UNREADABLE, Kind, an_event, sound
from tests.chaos.scenario import LONGEST, Figure, Scenario, load_driver, until_over, until_quiet
from tests.chaos.watcher import PARTITIONS
from tests.load import Load

_PER_SECOND = 60
_DELAY_SECONDS = 5.0
_REASONS = {"MessageRejected": "message_rejected", "InternalFailure": "attempts_exhausted"}
_BESIDE = {"mentor.pauses.v1": "pause-lifted", "mentor.certifications.v1": "cert-expiry"}


def _delay(evidence: Evidence, *, except_mentors: Iterable[str] = ()) -> Figure:
    longest = slowest(evidence, except_mentors=except_mentors)
    return Figure("longest delay of anybody else", round(longest, 1), _DELAY_SECONDS, "s")


# -- mentors whom SES fails --------------------------------------------------------------------------------------


async def _failing(stage: World, errors: Mapping[str, str]) -> Sequence[Figure]:
    """Fail all e-mails to some mentors, each with its own error, within a load that continues until they have ended."""
    least = stage.size(short=150, full=2500)
    load = Load(least * LONGEST, name=stage.namespace)
    events = [
        an_event(name, f"{stage.namespace}-{mentor}-{name}-{n}", mentor)
        for n in range(stage.size(short=1, full=4))
        for name in ("pause-activated", "cert-expiry-reminder")
        for mentor in errors
    ]
    await stage.programs(replicas=2, facades=1)
    await stage.ses.set(refuse={_address(mentor): error for mentor, error in errors.items()})
    async with load_driver(stage, load) as driver:
        await driver.contacts([*load.contacts(), *map(_contact, errors)])
        async with asyncio.TaskGroup() as together:
            ids = {event.dispatch_id for event in events}
            numbers = until_over(lambda: ids <= stage.watcher.ended, least=least, most=load.events)
            together.create_task(driver.run(numbers, per_second=_PER_SECOND))
            stage.mark("fault", f"SES fails {', '.join(errors)}")
            for event in events:
                together.create_task(driver.publish(event))
        await until_quiet(stage)
    return _judged(stage.evidence, events, errors)


def _address(mentor: str) -> str:
    return f"{mentor}@example.org"


def _contact(mentor: str) -> Contact:
    return Contact(id=mentor, role=Role.MENTOR, email=_address(mentor), name="Nobody", coordinator_id="coordinator-000")


def _judged(evidence: Evidence, events: Sequence[Event], errors: Mapping[str, str]) -> list[Figure]:
    """Check that each event ended as failed, with its reason, one dead letter, and the coordinator notified."""
    ended = last_final(evidence.records)
    letters = Counter(letter.dispatch_id for letter in evidence.letters)
    wrong = []
    for event in events:
        stood = ended[event.dispatch_id].recipients if event.dispatch_id in ended else {}
        told = {contact: (one.status, one.reason) for contact, one in stood.items()}
        due: dict[str, tuple[str, str | None]] = {event.mentor_id: ("failed", _REASONS[errors[event.mentor_id]])}
        if Role.COORDINATOR in event.kind.roles:
            due["coordinator-000"] = "sent", None
        if (told, letters[event.dispatch_id]) != (due, 1):
            wrong.append(f"{event.dispatch_id}: {told}, {letters[event.dispatch_id]} dead letters")
    others = letters.total() - sum(letters[event.dispatch_id] for event in events)
    return [
        Figure("events of failing mentors", len(events)),
        Figure("of these not failed as they must", len(wrong), 0, why=named(wrong)),
        Figure("dead letters of anybody else", others, 0),
        _delay(evidence, except_mentors=errors),
    ]


async def failing_mentor(stage: World) -> Sequence[Figure]:
    """Refuse all e-mails to one mentor for good, and answer 500 to all e-mails to another."""
    return await _failing(stage, {"failing-refused": "MessageRejected", "failing-erring": "InternalFailure"})


async def failing_pair(stage: World) -> Sequence[Figure]:
    """Answer 500 to all e-mails to two mentors of one partition at once."""
    numbers = itertools.count()
    anywhere = (f"failing-{n:03}" for n in numbers)
    pair = list(itertools.islice((one for one in anywhere if partition_for(one, PARTITIONS) == 0), 2))
    return await _failing(stage, dict.fromkeys(pair, "InternalFailure"))


# -- records that are no events ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Planted:
    """A published record of some kind, its position, and the event that it is made from."""

    kind: Kind
    event: Event
    topic: str
    partition: int
    offset: int

    def wrong(self, evidence: Evidence, topics: Topics) -> str | None:
        """Return its outcome if that is not what the table expects."""
        origin = f"{topics.named(self.topic)}-{self.partition}-{self.offset}"
        letters = [(letter.reason, letter.detail) for letter in evidence.letters if letter.origin == origin]
        if self.kind.becomes in {SENT, MOVED}:
            as_it_must = not letters and self._dispatched(evidence)
        else:
            as_it_must = [reason for reason, _ in letters] == [self.kind.becomes]
        if self.kind.becomes == UNREADABLE:
            offsets = f"offsets {self.offset} to {self.offset + self.kind.records - 1}: "
            as_it_must = as_it_must and letters[0][1].startswith(offsets)
        return None if as_it_must else f"{self.kind.name} at {origin}: {letters}"

    def _dispatched(self, evidence: Evidence) -> bool:
        record = last_final(evidence.records).get(self.event.dispatch_id)
        if record is None:
            return False
        right = self.event.kind.topic, partition_for(self.event.mentor_id, PARTITIONS)
        moved = record.origin != (self.topic, self.partition, self.offset)
        return record.origin[:2] == right and moved == (self.kind.becomes == MOVED)


class Planting:
    """Publishes records of all kinds between valid events of the same mentor."""

    def __init__(self, stage: World, driver: LoadDriver, producer: AIOKafkaProducer) -> None:
        self._stage = stage
        self._driver = driver
        self._producer = producer
        self._topics = Topics(stage.namespace)
        self.planted: list[Planted] = []

    async def plant(self, kind: Kind, mentor_id: str) -> None:
        """Publish one record of a kind, with a valid event before and after it."""
        name = f"{self._stage.namespace}-{mentor_id}-{kind.name}"
        event = an_event(kind.event, name, kind.mentor_id or mentor_id)
        beside = _BESIDE[event.kind.topic]
        await self._driver.publish(an_event(beside, f"{name}, before", mentor_id))
        topic, partition, offset = await self._put(kind, event)
        await self._driver.publish(an_event(beside, f"{name}, behind", mentor_id))
        self.planted.append(Planted(kind, event, topic, partition, offset))
        if kind.becomes in {SENT, MOVED, "unknown_mentor"}:
            self._driver.acknowledge(event, None)

    async def _put(self, kind: Kind, event: Event) -> tuple[str, int, int]:
        plant = kind.change(sound(event))
        topic = self._topics.named(plant.topic)
        if kind.batch is None:
            at = topic, plant.key, plant.value, plant.headers, event.mentor_id, plant.partition
            return plant.topic, plant.partition, await self._driver.put(*at)
        offset = await produce(self._producer, topic, plant.partition, kind.batch(plant))
        if kind.spoilt is not None:
            leader = await leader_of(self._producer, topic, plant.partition)
            data = self._stage.shared.directory / "kafka" / f"broker-{leader}" / f"{topic}-{plant.partition}"
            spoil(data / f"{0:020}.log", offset, kind.spoilt)
        return plant.topic, plant.partition, offset

    def figures(self) -> list[Figure]:
        """Return the figures: each record has the outcome of the table, and nothing else."""
        evidence = self._stage.evidence
        wrong = [told for one in self.planted if (told := one.wrong(evidence, self._topics))]
        letters = sum(one.kind.becomes not in {SENT, MOVED} for one in self.planted)
        return [
            Figure("kinds of poison", len({one.kind.name for one in self.planted}), 20, at_least=True),
            Figure("that became something else than they must", len(wrong), 0, why=named(wrong)),
            Figure("dead letters beyond one each", len(evidence.letters) - letters, 0),
        ]


@asynccontextmanager
async def _planting(stage: World, driver: LoadDriver) -> AsyncIterator[Planting]:
    producer = AIOKafkaProducer(bootstrap_servers=stage.servers)
    await producer.start()
    try:
        yield Planting(stage, driver, producer)
    finally:
        await producer.stop()


async def poison(stage: World) -> Sequence[Figure]:
    """Publish every kind of poison between valid events; batches are corrupted on disk before the replicas start."""
    at_rest = {f"mentor-{n:05}": kind for n, kind in enumerate(KINDS) if kind.spoilt is not None}
    events, rounds = stage.size(short=200, full=2500), stage.size(short=1, full=6)
    load = Load(events, name=stage.namespace)
    async with load_driver(stage, load) as driver, _planting(stage, driver) as planting:
        await driver.contacts()
        for mentor_id, kind in at_rest.items():
            await planting.plant(kind, mentor_id)
        await stage.programs(replicas=2, facades=1)
        async with asyncio.TaskGroup() as together:
            together.create_task(driver.run(range(events), per_second=_PER_SECOND))
            for n in range(rounds):
                await _plant_live(planting, n)
        await until_quiet(stage)
        passed = sum(
            [await replica.metric("pause_notifications_unreadable_batches_total") for replica in stage.replicas]
        )
    unreadable = sum(one.kind.becomes == UNREADABLE for one in planting.planted)
    missing = Figure("unreadable batches without an alarm", unreadable - passed, 0)
    return [*planting.figures(), missing, _delay(stage.evidence, except_mentors=at_rest)]


async def _plant_live(planting: Planting, turn: int) -> None:
    for n, kind in enumerate(KINDS):
        if kind.spoilt is None:
            await planting.plant(kind, f"mentor-{n + turn * len(KINDS):05}")
            await asyncio.sleep(0.05)


SCENARIOS = (
    Scenario("8", "failing-mentor", "mentors whom SES fails for good, among 500 healthy", failing_mentor),
    Scenario("9", "failing-pair", "two failing mentors on one partition at once", failing_pair),
    Scenario("10", "poison", "every kind of poison, between sound events", poison),
)
