"""People who mean harm: callers and producers who try to stop the service, or to make it report what is not so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import httpx

from schemas.events import Event
from tests.chaos.checker import slowest
from tests.chaos.evidence import Evidence
from tests.chaos.ground import World
from tests.chaos.loading import Loading
from tests.chaos.playing import Figure, Scenario, under_load
from tests.load import Load

_STRANGER = ("127.0.0.2", 0)
"""Where hostile callers come from: the loopback network has many addresses, and sound callers have another one."""
_DELAY_SECONDS = 5.0
_FACADE_MB, _REPLICA_MB = 384.0, 1536.0
"""The memory limits of the manifests."""
_GIVE_UP_SECONDS = 20.0
_PAUSE_SECONDS = 0.25
_MANY_EVENTS = 10_000


def _delay(evidence: Evidence) -> Figure:
    return Figure("longest delay of sound mail", round(slowest(evidence), 1), _DELAY_SECONDS, "s")


def _memory(evidence: Evidence) -> list[Figure]:
    """Return the most memory that a program of each kind took, against the limits of the manifests."""
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
    """Return what is done to a facade, by name; each takes the address of the endpoints and that of the probes."""
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
    """Attack a facade in every way known while sound callers and producers go on."""
    waits: list[float] = []
    probes: list[float] = []

    async def act(stage: World, doors: Loading) -> None:
        over = asyncio.Event()
        async with asyncio.TaskGroup() as together:
            together.create_task(_sound_calls(doors, _sound_events(stage), waits, over))
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


async def _sound_calls(doors: Loading, events: Iterable[Event], waits: list[float], over: asyncio.Event) -> None:
    for event in events:
        if over.is_set():
            return
        began = time.monotonic()
        await doors.post(event, wait=4)
        waits.append(time.monotonic() - began)
        await asyncio.sleep(_PAUSE_SECONDS)


async def _probes(stage: World, waits: list[float], over: asyncio.Event) -> None:
    while not over.is_set():
        began = time.monotonic()
        with suppress(httpx.HTTPError):  # its time counts all the same
            await stage.facades[0].process.health()
        waits.append(time.monotonic() - began)
        await asyncio.sleep(_PAUSE_SECONDS)


SCENARIOS = (Scenario("22", "hostile-callers", "callers who mean harm, beside sound ones", callers, heavy=True),)
