"""A backlog that does not fit into memory, and a cold start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer

from runtime.kafka.topics import Topics
from schemas.cloudevents import EventRecord, encode_binary
from schemas.events import Event
from schemas.placement import partition_for
from tests.chaos.cluster import World
from tests.chaos.evidence import Acknowledged
from tests.chaos.load_driver import LoadDriver
from tests.chaos.scenario import Figure, Scenario, load_driver, until_quiet
from tests.chaos.watcher import PARTITIONS
from tests.load import Load

_ID = "ce_id"
_TOGETHER = 5000
_MOST_MB = 200.0
_FLAT_SHARE = 0.15


@dataclass(frozen=True)
class _Placed:
    """What was published, in the order of each partition."""

    ids: dict[tuple[str, int], list[tuple[int, str, str]]]
    """By topic and partition: offset, event id and mentor."""


async def backlog(stage: World) -> Sequence[Figure]:
    """Publish everything first, then start replicas and let them work for a while."""
    waiting = stage.size(short=3000, full=1_000_000)
    load = Load(waiting, name=stage.namespace)
    async with load_driver(stage, load) as driver:
        await driver.contacts()
        began = time.monotonic()
        placed = await _publish(stage, driver, load)
        took = time.monotonic() - began
        at = stage.mark("start", f"{waiting} events wait; cold start")
        await stage.programs(replicas=stage.size(short=2, full=3), facades=0)
        await _work(stage, seconds=stage.size(short=4, full=50))
        worked_until = time.time()
        if stage.full:
            for replica in list(stage.replicas):
                await stage.stop(replica)
            await stage.watcher.settle(within=3)
            stage.evidence.ends = {}  # stopped on purpose: only committed events must have ended
            _acknowledge(stage, load, placed, at, committed_alone=True)
        else:
            _acknowledge(stage, load, placed, at, committed_alone=False)
            await until_quiet(stage)
    return [
        Figure("events waiting", waiting),
        Figure("published in", round(took), unit="s"),
        *_memory(stage, at, worked_until),
    ]


async def _work(stage: World, *, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        stage.shared.tell(f"{stage.namespace}: {len(stage.evidence.mails)} mails, {left:.0f} s left")
        await asyncio.sleep(min(left, 1.0))


def _memory(stage: World, at: float, until: float) -> list[Figure]:
    """
    Return the most memory of any replica, how it grew in the second half, and how soon the first mail went.

    Growth counts while all work: of those that stop one after another, the last takes everything over.
    """
    most, growth = 0.0, 0.0
    for name, samples in stage.evidence.memory_mb.items():
        sizes = [mb for when, mb in samples if when <= until]
        if not name.startswith("consumers") or len(sizes) < 4:
            continue
        most = max(most, *(mb for _, mb in samples))
        half = sizes[len(sizes) // 2]
        growth = max(growth, sizes[-1] / half - 1)
    first = min((mail.at for mail in stage.evidence.mails), default=at)
    return [
        Figure("most memory of a replica", round(most, 1), _MOST_MB, "MB"),
        Figure("its growth in the second half", round(growth, 3), _FLAT_SHARE if stage.full else None),
        Figure("first mail after the start of the programs", round(first - at, 1), unit="s"),
    ]


async def _publish(stage: World, driver: LoadDriver, load: Load) -> _Placed:
    """Publish the load from prepared records: built one by one, a million would take minutes."""
    topics = Topics(stage.namespace)
    producer = AIOKafkaProducer(
        bootstrap_servers=stage.servers, acks="all", linger_ms=20, max_batch_size=512 * 1024, request_timeout_ms=30_000
    )
    await producer.start()
    placed: dict[tuple[str, int], list[tuple[int, str, str]]] = {}
    try:
        pending = []
        for n, (event_id, mentor, record, headers) in enumerate(_prepared(load)):
            number = partition_for(mentor, PARTITIONS)
            sending = await producer.send(
                topics.named(record.topic), record.value, record.key, partition=number, headers=headers
            )
            pending.append((sending, record.topic, number, event_id, mentor))
            if len(pending) >= _TOGETHER:
                await _note(pending, placed)
                stage.shared.tell(f"{stage.namespace}: {n + 1} of {load.events} published")
        await _note(pending, placed)
    finally:
        await producer.stop()
    return _Placed(placed)


async def _note(
    pending: list[tuple[asyncio.Future[object], str, int, str, str]],
    placed: dict[tuple[str, int], list[tuple[int, str, str]]],
) -> None:
    for sending, topic, number, event_id, mentor in pending:
        told = await sending
        placed.setdefault((topic, number), []).append((told.offset, event_id, mentor))  # type: ignore[attr-defined]  # untyped
    pending.clear()


def _prepared(load: Load) -> Iterator[tuple[str, str, EventRecord, list[tuple[str, bytes]]]]:
    """Yield id, mentor and record of each event; the records of a mentor and type differ only in the id."""
    made: dict[tuple[str, str], tuple[EventRecord, list[tuple[str, bytes]]]] = {}
    for n in range(load.events):
        mentor, kind = load.mentor_id(n), load.kinds[(n + n // load.mentors) % len(load.kinds)]
        if (mentor, kind.name) not in made:
            record = encode_binary(load.event(n))
            made[mentor, kind.name] = record, [pair for pair in record.headers if pair[0] != _ID]
        record, headers = made[mentor, kind.name]
        event_id = f"{load.name}-{n:06}"
        yield event_id, mentor, record, [*headers, (_ID, event_id.encode())]


def _acknowledge(stage: World, load: Load, placed: _Placed, at: float, *, committed_alone: bool) -> None:
    """Expect what was published, or the part of it that the group has committed."""
    coordinators = {contact.id: contact.coordinator_id for contact in load.contacts()}
    last = stage.evidence.commits[-1].offsets if stage.evidence.commits else {}
    for (topic, number), events in placed.ids.items():
        for offset, event_id, mentor in events:
            if committed_alone and offset >= last.get((topic, number), 0):
                continue
            event = load.event(int(event_id.rpartition("-")[2]))
            known = _known(event, offset, coordinators[mentor], at)
            stage.evidence.acknowledged[known.dispatch_id] = known


def _known(event: Event, offset: int, coordinator: str | None, at: float) -> Acknowledged:
    due = {event.mentor_id} | ({coordinator} if coordinator and len(event.kind.roles) > 1 else set())
    place = event.kind.topic, partition_for(event.mentor_id, PARTITIONS)
    return Acknowledged(event.dispatch_id, event.mentor_id, *place, frozenset(due), at, offset=offset)


SCENARIOS = (Scenario("13", "backlog", "a million events waiting, a cold start", backlog, heavy=True),)
