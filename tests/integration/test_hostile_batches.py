"""Batches that no sound producer makes, on a real broker: they cost themselves, and nobody else a moment."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from runtime.kafka.records import Place
from schemas.cloudevents import encode_binary
from schemas.dispatch import Dispatch, Status
from schemas.events import PAUSES_TOPIC, Event
from schemas.placement import partition_for
from tests.chaos.batches import produce
from tests.hostile_batches import GZIP, LZ4, NONE, SNAPPY, ZSTD, batch, bomb, header_flood, record
from tests.kafka import Kafka
from tests.processes import Process
from tests.stage import PARTITIONS, Stage, an_event, mentor, open_stage
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
BOMB_BYTES = 64 * MIB
"""Four times the bound, and of lz4, which packs least, still below what a broker takes at its defaults."""
GROWTH_BYTES = 100 * MIB
LAG_SECONDS = 1.0
DELAY_SECONDS = 5.0
SOUND_EVENTS = 1000
SOUND_A_SECOND = 200
AT_ONCE = 10
POISONED_BATCHES = 245
FLOOD_RECORDS = 100_000
SOME_HUNDRED_LETTERS = 500
HEADERS = 7_000_000
NO_TEXT = [(b"\xff\xfe", b"1")]


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="stage")
async def _stage(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    namespace = f"t-{secrets.token_hex(4)}"
    async with open_stage(kafka.bootstrap_servers, namespace, tmp_path_factory.mktemp("hostile")) as stage:
        yield stage


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="replica", autouse=True)
async def _replica(stage: Stage) -> Process:
    return await stage.start()


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="producer")
async def _producer(stage: Stage) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=stage.bootstrap_servers) as producer:
        yield producer


@dataclass
class Strain:
    """What a replica was put to: by how much its memory grew at most, and how long its loop stood."""

    process: Process
    before: int
    slowest_seconds: float = 0.0

    @property
    def growth(self) -> int:
        """Return the bytes by which its resident memory grew at its peak."""
        return _status(self.process, "VmHWM") - self.before


def _status(process: Process, name: str) -> int:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def _forget_peak(process: Process) -> None:
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")


@asynccontextmanager
async def strained(process: Process) -> AsyncIterator[Strain]:
    """Watch memory and loop of a replica: its probe is answered by the same loop."""
    _forget_peak(process)
    strain = Strain(process, _status(process, "VmRSS"))

    async def probe() -> None:
        while True:
            began = time.monotonic()
            await process.health()
            strain.slowest_seconds = max(strain.slowest_seconds, time.monotonic() - began)
            await asyncio.sleep(0.05)

    probing = asyncio.create_task(probe())
    try:
        yield strain
    finally:
        probing.cancel()
        await asyncio.wait([probing])


def packed(event: Event) -> bytes:
    """Write an event as the only record of a batch."""
    written = encode_binary(event)
    headers = [(name.encode(), value) for name, value in written.headers]
    return record(0, written.key, written.value, headers)


async def put(stage: Stage, producer: AIOKafkaProducer, topic: str, partition: int, data: bytes) -> int:
    """Hand a batch to the broker as it is, and return the offset of its first record."""
    return await produce(producer, stage.topics.named(topic), partition, data)


def reasons_at(stage: Stage, place: Place, first: int) -> list[str]:
    """Return the reasons of the dead letters of a place from an offset on."""
    found = [one for one in stage.letters if Place(one.origin.topic, one.origin.partition) == place]
    return [one.reason.value for one in found if one.origin.offset >= first]


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD], ids=["gzip", "snappy", "lz4", "zstd"])
async def test_a_bomb_takes_no_memory_and_no_time(
    stage: Stage, replica: Process, producer: AIOKafkaProducer, codec: int
) -> None:
    """In an event topic it is a dead letter, and the event behind it is sent."""
    event = an_event(mentor_id=mentor(1))
    place = stage.place(PAUSES_TOPIC, event.mentor_id)
    # Snappy packs a twentieth: a bomb of the same size would be larger than a broker takes.
    data = bomb(codec, 20 * MIB if codec == SNAPPY else BOMB_BYTES)

    async with strained(replica) as strain:
        offset = await produce(producer, *place, data)
        await stage.publish(event)
        dispatch = await stage.ended(event)

    assert (Status.SENT, Status.SENT) == tuple(one.status for one in dispatch.recipients)
    await until(lambda: reasons_at(stage, place, offset), what="the bomb's dead letter")
    assert ["unreadable_batch"] == reasons_at(stage, place, offset)
    assert strain.growth < GROWTH_BYTES
    assert strain.slowest_seconds < LAG_SECONDS


async def test_a_bomb_among_contacts_and_dispatches_is_told(
    stage: Stage, replica: Process, producer: AIOKafkaProducer
) -> None:
    """Where there are no dead letters the alarm's metric counts it, and what lies behind it is read."""
    event = an_event(mentor_id=mentor(2))
    number = partition_for(event.mentor_id, PARTITIONS)
    before = await replica.metric("pause_notifications_unreadable_batches_total")

    async with strained(replica) as strain:
        await produce(producer, stage.topics.contacts, number, bomb(ZSTD, BOMB_BYTES))
        await produce(producer, stage.topics.dispatches, number, bomb(GZIP, BOMB_BYTES))

        async def told() -> bool:
            return await replica.metric("pause_notifications_unreadable_batches_total") - before == 2

        await until(told, what="two batches told")
        await stage.publish(event)
        dispatch = await stage.ended(event)

    assert (Status.SENT, Status.SENT) == tuple(one.status for one in dispatch.recipients)
    assert strain.growth < GROWTH_BYTES
    assert strain.slowest_seconds < LAG_SECONDS


async def test_a_replica_starts_over_bombs_that_lie_there(stage: Stage, producer: AIOKafkaProducer) -> None:
    """A ledger and a table of contacts that hold bombs are read to their ends, by a facade's reader too."""
    for number in range(PARTITIONS):
        await produce(producer, stage.topics.dispatches, number, bomb(ZSTD, BOMB_BYTES))
        await produce(producer, stage.topics.contacts, number, bomb(LZ4, BOMB_BYTES))

    facade = await stage.start("service", http_port=0)
    second = await stage.start()

    assert _status(second, "VmHWM") < 300 * MIB
    assert _status(facade, "VmHWM") < 300 * MIB
    await second.stop()
    await facade.stop()


async def test_healthy_partitions_never_wait_for_a_sick_one(
    stage: Stage, replica: Process, producer: AIOKafkaProducer
) -> None:
    """Hundreds of batches that nobody can read delay a thousand sound events beside them by seconds at most."""
    sick = partition_for(mentor(3), PARTITIONS)
    events = [an_event(mentor_id=mentor(number)) for number in range(SOUND_EVENTS)]

    async with strained(replica) as strain:
        async with asyncio.TaskGroup() as work:
            work.create_task(_publish_steadily(stage, events))
            work.create_task(_poison(stage, producer, sick))
        dispatches = await stage.all_ended(events, within=60)

    assert max(map(_seconds_taken, dispatches)) < DELAY_SECONDS
    assert strain.slowest_seconds < LAG_SECONDS
    assert {Status.SENT} == {one.status for dispatch in dispatches for one in dispatch.recipients}


async def _publish_steadily(stage: Stage, events: Sequence[Event]) -> None:
    for first in range(0, len(events), AT_ONCE):
        await stage.publish_all(events[first : first + AT_ONCE])
        await asyncio.sleep(AT_ONCE / SOUND_A_SECOND)


async def _poison(stage: Stage, producer: AIOKafkaProducer, partition: int) -> None:
    data = batch([record(0, headers=NO_TEXT)])
    for _ in range(POISONED_BATCHES):
        await put(stage, producer, PAUSES_TOPIC, partition, data)


def _seconds_taken(dispatch: Dispatch) -> float:
    assert dispatch.ended_at is not None
    return (dispatch.ended_at - dispatch.origin.appended_at).total_seconds()


@pytest.mark.parametrize("codec", [NONE, ZSTD], ids=["plain", "zstd"])
async def test_a_flood_in_one_batch_becomes_some_hundred_dead_letters_and_a_range(
    stage: Stage, producer: AIOKafkaProducer, codec: int
) -> None:
    """All of its offsets are committed, each of its records is counted, and the event behind it is sent."""
    event = an_event(mentor_id=mentor(5))
    place = stage.place(PAUSES_TOPIC, event.mentor_id)
    flood = FLOOD_RECORDS if codec else FLOOD_RECORDS // 10  # a plain batch of all is larger than a broker takes
    data = batch([record(number, None, b"{}") for number in range(flood)], codec=codec)

    offset = await produce(producer, *place, data)
    published = await stage.publish(event)
    dispatch = await stage.ended(event, within=60)
    await stage.passed(published, within=60)

    letters = [one for one in stage.letters if one.origin.topic == place.topic and one.origin.offset >= offset]
    letters = [one for one in letters if one.origin.partition == place.partition]
    ranges = [one for one in letters if one.last_offset is not None]
    assert (Status.SENT, Status.SENT) == tuple(one.status for one in dispatch.recipients)
    assert flood == sum(one.records for one in letters)
    assert len(letters) < SOME_HUNDRED_LETTERS
    assert offset + flood - 1 == max(one.last for one in ranges)


async def test_a_flood_of_headers_is_a_dead_letter(stage: Stage, replica: Process, producer: AIOKafkaProducer) -> None:
    """Seven million headers in a few kilobytes take neither memory nor time."""
    event = an_event(mentor_id=mentor(6))
    place = stage.place(PAUSES_TOPIC, event.mentor_id)
    data = batch([header_flood(HEADERS)], codec=ZSTD)

    async with strained(replica) as strain:
        offset = await produce(producer, *place, data)
        await stage.publish(event)
        await stage.ended(event)

    await until(lambda: reasons_at(stage, place, offset), what="its dead letter")
    assert ["unreadable_batch"] == reasons_at(stage, place, offset)
    assert strain.growth < GROWTH_BYTES
    assert strain.slowest_seconds < LAG_SECONDS


@pytest.mark.parametrize("commits", [True, False], ids=["committed", "aborted"])
async def test_a_transaction_stalls_nothing(stage: Stage, *, commits: bool) -> None:
    """The markers that end a transaction are no records, and what lies behind them is sent."""
    inside, behind = an_event(mentor_id=mentor(4)), an_event(mentor_id=mentor(4))
    place, written = stage.place(PAUSES_TOPIC, mentor(4)), encode_binary(inside)
    transactional_id = f"{stage.topics.namespace}-{commits}"
    async with AIOKafkaProducer(bootstrap_servers=stage.bootstrap_servers, transactional_id=transactional_id) as sends:
        await sends.begin_transaction()
        await sends.send_and_wait(place.topic, written.value, written.key, place.partition, headers=written.headers)
        await (sends.commit_transaction() if commits else sends.abort_transaction())
    published = await stage.publish(behind)

    await stage.ended(behind)

    await stage.passed(published)
