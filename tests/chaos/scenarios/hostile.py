"""Attackers: callers and producers who try to stop the service, or to make it report what is false."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
from aiokafka import AIOKafkaProducer

from runtime.kafka.topics import Topics
from schemas import headers as names
from schemas.cloudevents import encode_binary
from schemas.dispatch import Dispatch, Origin, Recipient, Request, Status, dispatch_json
from schemas.events import FACADE_SOURCE, PAUSES_TOPIC, Event, Role
from schemas.placement import partition_for
from tests.chaos.batches import MOST_BYTES, Raw, batch_of, produce, sealed, with_header_name_of_no_utf8
from tests.chaos.checker import named, slowest
from tests.chaos.cluster import World
from tests.chaos.evidence import Evidence, Record
from tests.chaos.load_driver import LoadDriver
from tests.chaos.poison import an_event
from tests.chaos.scenario import Figure, Scenario, under_load, until_back
from tests.chaos.watcher import PARTITIONS
from tests.hostile_batches import ZSTD, bomb
from tests.load import Load

_STRANGER = ("127.0.0.2", 0)
"""The address of attackers: the loopback network has many, and valid callers have another one."""
_DELAY_SECONDS = 5.0
_FACADE_MB, _REPLICA_MB = 384.0, 1536.0
"""The memory limits of the manifests."""
_GIVE_UP_SECONDS = 20.0
_PAUSE_SECONDS = 0.25
_MANY_EVENTS = 10_000


def _delay(evidence: Evidence, *, except_mentors: Iterable[str] = ()) -> Figure:
    longest = slowest(evidence, except_mentors=except_mentors)
    return Figure("longest delay of sound mail", round(longest, 1), _DELAY_SECONDS, "s")


def _memory(evidence: Evidence) -> list[Figure]:
    """Return the most memory of each kind of program, with the limits of the manifests."""
    most = {
        kind: max((mb for name, samples in evidence.memory_mb.items() if name.startswith(kind) for _, mb in samples))
        for kind in ("service", "consumers")
    }
    return [
        Figure("memory of a facade, at most", round(most["service"]), _FACADE_MB, "MB"),
        Figure("memory of a replica, at most", round(most["consumers"]), _REPLICA_MB, "MB"),
    ]


# -- callers -----------------------------------------------------------------------------------------------------


async def _send(address: str, chunks: Iterable[bytes], *, every: float = 0.0, stay: float = 0.0) -> int:
    """Send *chunks* to a server until it closes the connection, *stay* for a while, and return the bytes it took."""
    taken = 0
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_GIVE_UP_SECONDS):
            where = urlsplit(address)
            reader, writer = await asyncio.open_connection(where.hostname, where.port, local_addr=_STRANGER)
            try:
                for chunk in chunks:
                    writer.write(chunk)
                    await writer.drain()
                    taken += len(chunk)
                    if every:
                        await asyncio.sleep(every)
                if stay:
                    async with asyncio.timeout(stay):
                        await reader.read()
            finally:
                writer.transport.abort()
    return taken


def _endless_head(mebibytes: int) -> Iterable[bytes]:
    yield b"POST / HTTP/1.1\r\nhost: x\r\n"
    for _ in range(mebibytes * 16):
        yield b"a:\r\n" * (16 * 1024)


def _long_header(mebibytes: int) -> Iterable[bytes]:
    yield b"GET / HTTP/1.1\r\nhost: x\r\na: "
    for _ in range(mebibytes * 16):
        yield b"x" * (64 * 1024)


def _slow_head() -> Iterable[bytes]:
    for number in range(int(_GIVE_UP_SECONDS)):
        yield b"GET / HTTP/1.1\r\nhost: a-name-without-end"[number : number + 1]


def _endless_body(path: str, mebibytes: int) -> Iterable[bytes]:
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\norigin: http://evil.example\r\n"
    yield f"{head}transfer-encoding: chunked\r\n\r\n".encode()
    for _ in range(mebibytes * 16):
        yield b"10000\r\n" + b" " * (64 * 1024) + b"\r\n"


def _waiting_call(path: str, mentor_id: str) -> Iterable[bytes]:
    body = f'{{"mentor_id": "{mentor_id}"}}'
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nprefer: wait=30\r\n"
    yield f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


async def _together(sends: Iterable[Awaitable[int]]) -> None:
    await asyncio.gather(*sends)


def _waves(stage: World) -> list[tuple[str, Callable[[str, str], Awaitable[None]]]]:
    """Return the attacks on a facade, by name; each gets the address of the endpoints and that of the probes."""
    path = "/api/v1/pause-notifications/pause-lifted"
    few, many, size = (stage.size(short=s, full=f) for s, f in ((20, 100), (100, 1000), (4, 12)))

    return [
        (
            "heads without end",
            lambda rest, probes: _together(_send(one, _endless_head(size)) for one in (rest, probes) * 3),
        ),
        (
            "headers without end",
            lambda rest, probes: _together(_send(one, _long_header(size)) for one in (rest, probes)),
        ),
        (
            "a byte of a head a second",
            lambda rest, probes: _together(_send(one, _slow_head(), every=1.0) for one in (rest, probes) * few),
        ),
        (
            "silent connections",
            lambda rest, probes: _together(_send(one, (), stay=12.0) for one in (rest, probes) * (many // 2)),
        ),
        ("bodies without end", lambda rest, _: _together(_send(rest, _endless_body(path, size)) for _ in range(few))),
        (
            "callers who hang up",
            lambda rest, _: _together(
                _send(rest, _waiting_call(path, f"nobody-{number}"), stay=0.1) for number in range(many)
            ),
        ),
    ]


async def callers(stage: World) -> Sequence[Figure]:
    """Attack a facade in every known way while valid callers and producers continue."""
    waits: list[float] = []
    probes: list[float] = []

    async def act(stage: World, driver: LoadDriver) -> None:
        over = asyncio.Event()
        async with asyncio.TaskGroup() as together:
            together.create_task(_sound_calls(driver, _sound_events(stage), waits, over))
            together.create_task(_probes(stage, probes, over))
            facade = stage.facades[0]
            for name, attack in _waves(stage):
                stage.mark("fault", name)
                await attack(facade.address, facade.process.management)
            over.set()

    await stage.programs(replicas=2, facades=1)
    await under_load(stage, act, events=stage.size(short=200, full=3000), per_second=stage.size(short=20, full=50))
    return [
        Figure("calls beside the attacks", len(waits), 1, at_least=True),
        Figure("longest wait of a sound caller", round(max(waits, default=0.0), 1), _DELAY_SECONDS, "s"),
        Figure("longest wait of a probe", round(max(probes, default=0.0), 1), _DELAY_SECONDS, "s"),
        _delay(stage.evidence),
        *_memory(stage.evidence),
    ]


def _sound_events(stage: World) -> Iterable[Event]:
    load = Load(_MANY_EVENTS, name=f"{stage.namespace}-beside")
    return (load.event(number) for number in range(load.events))


async def _sound_calls(driver: LoadDriver, events: Iterable[Event], waits: list[float], over: asyncio.Event) -> None:
    for event in events:
        if over.is_set():
            return
        began = time.monotonic()
        await driver.post(event, wait=4)
        waits.append(time.monotonic() - began)
        await asyncio.sleep(_PAUSE_SECONDS)


async def _probes(stage: World, waits: list[float], over: asyncio.Event) -> None:
    while not over.is_set():
        began = time.monotonic()
        with suppress(httpx.HTTPError):  # its time still counts
            await stage.facades[0].process.health()
        waits.append(time.monotonic() - began)
        await asyncio.sleep(_PAUSE_SECONDS)


# -- producers ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Forged:
    """A record of a stranger that claims what only our programs may claim."""

    event: Event
    headers: Sequence[tuple[str, bytes]]
    is_event: bool = True
    """Whether it is still an event, whose e-mails are due."""


_FORGED_ID = "FORGED"
_FLOODED = 1
"""The partition that is flooded: only its own valid events are behind the flood."""
_FLOOD_SECONDS = 30.0
_EVERYBODY = tuple(f"coordinator-{n:03}" for n in range(25))


def _dispatch(event: Event, recipients: Sequence[Recipient], offset: int = 10**9) -> bytes:
    """Return a dispatch of *event*, as a stranger who knows our contract writes it."""
    origin = Origin(topic=event.kind.topic, partition=0, offset=offset, appended_at=datetime.now(UTC))
    forged = Dispatch(
        dispatch_id=event.dispatch_id,
        event_type=event.kind.type,
        mentor_id=event.mentor_id,
        digest=event.digest,
        origin=origin,
        request=Request(id="forged", caller="anonymous", keyless=True),
        recipients=tuple(recipients),
        ended_at=datetime.now(UTC),
        seen_through={event.kind.topic: offset},
    )
    return dispatch_json(forged)


def _forgeries(stage: World, number: int) -> list[_Forged]:
    """Return one of each forgery, each about its own mentor."""

    def about(turn: int, source: str = "/stranger") -> Event:
        event = an_event(
            "pause-activated", f"{stage.namespace}-forged-{number}-{turn}", f"mentor-{5 * number + turn:05}"
        )
        return replace(event, source=source)

    events = [about(turn) for turn in range(4)]
    sent = [
        Recipient(contact_id=one, role=Role.MENTOR, status=Status.SENT, message_id=_FORGED_ID)
        for one in (events[0].mentor_id, "coordinator-000")
    ]
    crowd = [Recipient(contact_id=one, role=Role.COORDINATOR) for one in _EVERYBODY]
    request = [(names.REQUEST_ID, b"forged"), (names.CALLER, b"anonymous"), (names.KEYLESS, b"1")]
    return [
        _Forged(events[0], [(names.REPLAY, _dispatch(events[0], sent))]),
        _Forged(events[1], [(names.REPLAY, _dispatch(events[1], crowd))]),
        _Forged(events[2], [*request, (names.REPLAY, _dispatch(events[2], ()))]),
        _Forged(events[3], [(names.APPENDED_AT, b"2001-01-01T00:00:00Z"), (names.WAITS_MS, b"999999")]),
        _Forged(about(4, FACADE_SOURCE), request, is_event=False),
    ]


class _Hostile:
    """A producer with the right to write to the event topics, who attacks."""

    def __init__(self, stage: World, driver: LoadDriver, producer: AIOKafkaProducer) -> None:
        self._stage = stage
        self._driver = driver
        self._producer = producer
        self._topic = Topics(stage.namespace).named(PAUSES_TOPIC)

    async def forge(self) -> None:
        """Claim what only our programs may claim."""
        for number in range(self._stage.size(short=4, full=40)):
            for forged in _forgeries(self._stage, number):
                record = encode_binary(forged.event)
                headers = [*record.headers, *forged.headers]
                await self._driver.put(self._topic, record.key, record.value, headers, forged.event.mentor_id)
                if forged.is_event:
                    self._driver.acknowledge(forged.event, None)

    async def explode(self) -> None:
        """Send records that need a thousand times their size when they are read."""
        batch = await asyncio.to_thread(bomb, ZSTD, self._stage.size(short=64, full=600) * 1024 * 1024)
        for partition in range(self._stage.size(short=1, full=3)):
            await produce(self._producer, self._topic, partition, batch)

    async def spoil(self) -> None:
        """Send batches that no client can read."""
        batch = with_header_name_of_no_utf8(Raw(b"key", b"{}", ()))
        for number in range(self._stage.size(short=40, full=245)):
            await produce(self._producer, self._topic, number % PARTITIONS, batch)

    async def flood(self) -> None:
        """Send very many invalid records, many in a batch."""
        batch = sealed(batch_of([Raw(b"key", b"{}")] * 5000))
        for _ in range(self._stage.size(short=1, full=20)):
            await produce(self._producer, self._topic, _FLOODED, batch)

    async def invent(self) -> None:
        """Send events about unknown mentors, each from another source."""
        for number in range(self._stage.size(short=300, full=3000)):
            name = f"nobody-{number:05}"
            event = replace(an_event("pause-lifted", f"{self._stage.namespace}-{name}", name), source=f"/source/{name}")
            record = encode_binary(event)
            place = {"partition": partition_for(name, PARTITIONS), "key": record.key}
            await self._producer.send(self._topic, record.value, headers=record.headers, **place)
        await self._producer.flush()


async def producers(stage: World) -> Sequence[Figure]:
    """Write hostile records to the event topics while valid producers and callers continue."""

    async def act(stage: World, driver: LoadDriver) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=stage.servers, max_request_size=MOST_BYTES)
        await producer.start()
        try:
            hostile = _Hostile(stage, driver, producer)
            for name, attack in (
                ("forged headers", hostile.forge),
                ("records that explode", hostile.explode),
                ("unreadable batches", hostile.spoil),
                ("records that are no events", hostile.flood),
                ("unknown mentors", hostile.invent),
            ):
                stage.mark("fault", name)
                await attack()
                await until_back(stage, time.time())
        finally:
            await producer.stop()

    await stage.programs(replicas=2, facades=1)
    await under_load(stage, act, events=stage.size(short=300, full=4000), per_second=stage.size(short=30, full=50))
    due = {one.dispatch_id: one.due for one in stage.evidence.acknowledged.values()}
    mails = stage.evidence.mails
    others = [mail.recipient for mail in mails if mail.recipient not in due.get(mail.dispatch_id, {mail.recipient})]
    believed = [one.dispatch_id for one in stage.evidence.records if _is_believed(one)]
    return [
        Figure("mails to people not concerned", len(others), 0, why=named(others)),
        Figure("forged outcomes believed", len(believed), 0, why=named(believed)),
        Figure("replicas that ended", sum(not replica.running for replica in stage.replicas), 0),
        Figure("dead letters", len(stage.evidence.letters)),
        _delay(stage.evidence, except_mentors=_flooded(stage.evidence)),
        Figure("longest delay behind the flood", round(slowest(stage.evidence), 1), _FLOOD_SECONDS, "s"),
        *_memory(stage.evidence),
    ]


def _flooded(evidence: Evidence) -> set[str]:
    return {one.mentor_id for one in evidence.acknowledged.values() if one.partition == _FLOODED}


def _is_believed(record: Record) -> bool:
    return any(stood.message_id == _FORGED_ID for stood in record.recipients.values())


SCENARIOS = (
    Scenario("22", "hostile-callers", "callers who mean harm, beside sound ones", callers, heavy=True),
    Scenario("23", "hostile-producer", "a producer who means harm, beside sound ones", producers, heavy=True),
)
