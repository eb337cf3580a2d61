"""
Fuzz the HTTP port: invalid, nearly valid and oversized requests, in random segments.

Meanwhile the port answers a valid request on another connection within a second. Every byte that it sends is part of a
complete HTTP response, every connection ends, no error is logged, and memory does not grow.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import uvloop
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.local.ports import HOST
from runtime.http import serve
from runtime.http_connections import HttpBounds
from tests.raw_http import ask, head, wire

_BOUNDS = HttpBounds(connections=20, head_seconds=0.3, idle_seconds=0.2, write_seconds=1.0, linger_seconds=0.2)
_ATTACKERS = 24
_PROBE_EVERY_SECONDS = 0.05
_PROBE_SECONDS = 1.0
_MAX_BODY = 64 * 1024
_BODY_SECONDS = 0.3
_MAX_GROWTH = 48 * 1024 * 1024
_ANSWER = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [^\r\n]*\r\n((?:[!-9;-~]+: [^\r\n]*\r\n)*)\r\n")
_LENGTH = re.compile(rb"^content-length: ([0-9]+)\r$", re.IGNORECASE | re.MULTILINE)
_PIECES = (
    b"",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\x00",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"0",
    b"%",
    b"\xff",
    b"a:\r\n",
)
_SOUND = head("POST / HTTP/1.1", "Content-Length: 5") + b"sound"


class Found(Exception):
    """A finding, and the input that caused it."""


def fuzz(seed: int, seconds: float) -> str:
    """Attack a port for some seconds; return a summary."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        statuses, slowest = runner.run(_attack(seed, seconds))
    summary = ", ".join(f"{statuses[status]} x {status}" for status in sorted(statuses))
    return f"{summary}; slowest probe {slowest * 1000:.0f} ms"


async def _attack(seed: int, seconds: float) -> tuple[Counter[str], float]:
    """Run attackers and a prober concurrently; raise what either finds."""
    errors = _Errors()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.found.append(str(context)))
    logging.getLogger("uvicorn.error").addHandler(errors)
    statuses: Counter[str] = Counter()
    numbers, until = count(), time.monotonic() + seconds
    try:
        async with _served() as port, asyncio.timeout(seconds + 60):
            await asyncio.gather(*[ask(port, _SOUND) for _ in range(_ATTACKERS)])
            before = _memory()
            async with asyncio.TaskGroup() as tasks:
                probing = tasks.create_task(_probe(port, until))
                for _ in range(_ATTACKERS):
                    tasks.create_task(_attacker(port, seed, numbers, until, statuses))
            growth = _memory() - before
    finally:
        logging.getLogger("uvicorn.error").removeHandler(errors)
    if errors.found:
        raise Found(f"seed {seed}: errors in the log: {errors.found[:3]}")
    if growth > _MAX_GROWTH:
        raise Found(f"seed {seed}: memory grew by {growth >> 20} MiB")
    return statuses, probing.result()


class _Errors(logging.Handler):
    """Collects the errors that a server logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Add an error."""
        self.found.append(f"{record.getMessage()} {record.exc_info and record.exc_info[1]!r}")


@asynccontextmanager
async def _served() -> AsyncIterator[int]:
    async def echo(request: Request) -> Response:
        body = b""
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                async for piece in request.stream():
                    body += piece
                    if len(body) > _MAX_BODY:
                        return Response(status_code=413)
        except (ClientDisconnect, TimeoutError):
            return Response(status_code=408)
        return Response(body)

    routes = [Route("/{path:path}", echo, methods=["GET", "POST"])]
    async with serve(Starlette(routes=routes), "http", host=HOST, port=0, drain_seconds=1, bounds=_BOUNDS) as port:
        yield port


async def _probe(port: int, until: float) -> float:
    """Send valid requests until the time is over; return the time of the slowest."""
    slowest = 0.0
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                answer = await ask(port, _SOUND)
        except TimeoutError:
            raise Found(f"a valid request is not answered within {_PROBE_SECONDS:g} s") from None
        if (200, b"sound") != (answer.status, answer.body):
            raise Found(f"a valid request is answered {answer}")
        slowest = max(slowest, time.monotonic() - began)
        await asyncio.sleep(_PROBE_EVERY_SECONDS)
    return slowest


async def _attacker(port: int, seed: int, numbers: Any, until: float, statuses: Counter[str]) -> None:
    """Attack repeatedly, each time with bytes that the seed and a number determine."""
    while time.monotonic() < until:
        number = next(numbers)
        segments = attack(Random(f"{seed}:{number}"))
        async with wire(port) as opened:
            await opened.send(*segments)
            heard = await opened.rest()
        try:
            statuses.update(answers(heard) or ["closed"])
        except ValueError as error:
            shown = b"".join(segments)[:2000]
            raise Found(f"seed {seed}, attack {number}: {error}; sent {shown!r}, heard {heard[:500]!r}") from None


def attack(random: Random) -> list[bytes]:
    """Return bytes in segments."""
    data = random.choices([_requests, _mutated, _noise, _flood], [2, 6, 1, 2])[0](random)
    borders = sorted(random.randrange(len(data) + 1) for _ in range(random.choice([0, 1, 2, 5, 40])))
    return [data[begin:end] for begin, end in zip([0, *borders], [*borders, len(data)], strict=True) if begin < end]


def _requests(random: Random) -> bytes:
    """Return one to five valid requests."""
    return b"".join(_request(random) for _ in range(random.choice([1, 1, 2, 5])))


def _request(random: Random) -> bytes:
    more = random.sample(
        [
            "Connection: close",
            "Connection: Upgrade",
            "Upgrade: h2c",
            "Expect: 100-continue",
            "Accept: */*",
            "x: \xe9",
            "Cookie: " + "c" * random.choice([10, 5000]),
        ],
        random.randrange(5),
    )
    line = random.choice(["GET / HTTP/1.1", "GET /a%2Fb?c HTTP/1.0", "POST /p HTTP/1.1", "OPTIONS * HTTP/1.1"])
    body = random.randbytes(random.choice([0, 1, 100, 70_000]))
    if line.startswith("POST") and random.random() < 0.5:
        size = random.choice([1, 7, 1000]) if len(body) < 1000 else 1000
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        return head(line, *more, "Transfer-Encoding: chunked") + chunks + b"0\r\n\r\n"
    return head(line, *more, f"Content-Length: {len(body)}") + body


def _mutated(random: Random) -> bytes:
    """Return requests with some bytes changed, removed or doubled."""
    data = _requests(random)
    for _ in range(random.choice([1, 1, 2, 8])):
        at = random.randrange(min(len(data), random.choice([60, 400, len(data)])) + 1)
        piece = random.choice([*_PIECES, data[at : at + 30], bytes([random.randrange(256)])])
        data = data[:at] + piece * random.choice([1, 1, 1, 50]) + data[at + random.randrange(4) :]
    return data


def _noise(random: Random) -> bytes:
    return random.randbytes(random.choice([1, 10, 1000, 100_000]))


def _flood(random: Random) -> bytes:
    """Return much of one thing: headers, a value, requests, chunks, or their extensions."""
    times = random.choice([10, 1000, 100_000])
    chunked = head("POST / HTTP/1.1", "Transfer-Encoding: chunked")
    return random.choice(
        [
            head("GET / HTTP/1.1")[:-2] + b"a:\r\n" * times,
            head("GET / HTTP/1.1")[:-2] + b"a: " + b"b" * times,
            b"GET /" + b"a" * times,
            b"\r\n" * times,
            head("GET / HTTP/1.1") * (times // 20),
            chunked + b"1;e\r\nx\r\n" * times,
            chunked + b"1;" + b"e" * times,
            chunked + b"0\r\n" + b"t: u\r\n" * times,
            head("POST / HTTP/1.1", "Content-Length: 99999999") + b"x" * times,
        ]
    )


def answers(heard: bytes) -> list[str]:
    """Return the statuses of the responses in *heard*; raise ValueError if it is anything else."""
    statuses, at = [], 0
    while at < len(heard):
        found = _ANSWER.match(heard, at)
        if found is None:
            raise ValueError(f"no answer at byte {at}")
        at = found.end()
        status, length = found[1].decode(), _LENGTH.search(found[2])
        statuses.append(status)
        if status == "100":
            continue
        if length is None:
            raise ValueError(f"an answer without a length, status {status}")
        at += int(length[1])
    if at > len(heard):
        raise ValueError("an answer breaks off")
    return statuses


def _memory() -> int:
    """Return the resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
