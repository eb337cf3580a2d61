"""What a port accepts before a handler sees a request, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from deploy.local.ports import HOST
from runtime.http import serve
from runtime.http_connections import HttpBounds
from runtime.http_parser import MAX_HEAD_BYTES, MAX_HEADERS
from runtime.metrics import http_refusals, program_registry
from tests.raw_http import Broken, Wire, ask, head, wire
from tests.waiting import until

BODY = b'{"mentor_id":"mentor-042"}'
POST = head("POST /echo HTTP/1.1", f"Content-Length: {len(BODY)}") + BODY
GET = head("GET /echo HTTP/1.1")
CHUNKED = head("POST /echo HTTP/1.1", "Transfer-Encoding: chunked")


class Served:
    """A port with an app that echoes, refuses without reading, waits for an event, or writes without end."""

    def __init__(self, **bounds: float) -> None:
        self.port = 0
        self.waiting = 0
        self.go = asyncio.Event()
        self.begun, self.ended = asyncio.Event(), asyncio.Event()
        self.registry = program_registry()
        self.refusals = http_refusals(self.registry)
        self.bounds = HttpBounds(**{"connections": 64, **bounds})  # type: ignore[arg-type]  # each of its own type
        routes = [
            Route("/echo", self._echo, methods=["GET", "POST"]),
            Route("/refuse", self._refuse, methods=["POST"]),
            Route("/wait", self._wait),
            Route("/endless", self._endless),
        ]
        self.app = Starlette(routes=routes)

    async def _echo(self, request: Request) -> Response:
        with contextlib.suppress(ClientDisconnect):
            return Response(await request.body(), headers={"path": request.url.path, "query": request.url.query})
        return Response()

    async def _refuse(self, _request: Request) -> Response:
        return PlainTextResponse("no", 401)

    async def _wait(self, _request: Request) -> Response:
        self.waiting += 1
        await self.go.wait()
        return PlainTextResponse("done")

    async def _endless(self, _request: Request) -> Response:
        async def content() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 65536
                    self.begun.set()
                    await asyncio.sleep(0)
            finally:
                self.ended.set()

        return StreamingResponse(content())

    def refused(self, reason: str) -> float | None:
        """Return how often the port has refused for *reason*."""
        labels = {"port": "http", "reason": reason}
        return self.registry.get_sample_value("pause_notifications_http_refusals_total", labels)


@asynccontextmanager
async def served(**bounds: float) -> AsyncIterator[Served]:
    """Serve with these limits."""
    one = Served(**bounds)
    arguments: dict[str, Any] = {"host": HOST, "port": 0, "drain_seconds": 1}
    async with serve(one.app, "http", **arguments, bounds=one.bounds, refusals=one.refusals) as one.port:
        yield one


async def _closed(opened: Wire) -> None:
    """Wait until the server closes; raise TimeoutError if it does not."""
    await opened.rest()


class TestHead:
    """The head of a request is small and arrives in time."""

    async def test_more_bytes_than_allowed(self) -> None:
        """Endless headers get a 431, and the connection closes after a bounded part of them."""
        async with served() as one, wire(one.port) as opened:
            answer = await opened.ask(head("GET /echo HTTP/1.1")[:-2] + b"a:\r\n" * 100_000)
            await opened.send(*[b"a:\r\n" * 250_000] * 12)
            await _closed(opened)
            assert 431 == answer.status
            assert "close" == answer.headers["connection"]
            assert 1.0 == one.refused("head_too_large")

    async def test_one_long_value(self) -> None:
        """A single endless header gets a 431, too."""
        async with served() as one:
            answer = await ask(one.port, b"GET /echo HTTP/1.1\r\nHost: a\r\nx: ", *[b"y" * 65536] * 4)
        assert 431 == answer.status

    async def test_as_many_bytes_as_allowed(self) -> None:
        """A head of 32 KiB is accepted."""
        start = head("GET /echo HTTP/1.1")[:-2] + b"x: "
        async with served() as one:
            answer = await ask(one.port, start + b"y" * (MAX_HEAD_BYTES - len(start)) + b"\r\n\r\n")
        assert 200 == answer.status

    @pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 431)])
    async def test_headers(self, more: int, status: int) -> None:
        """A hundred headers are accepted, one more gets a 431."""
        names = [f"x-{number}: {number}" for number in range(MAX_HEADERS - 1 + more)]
        async with served() as one:
            answer = await ask(one.port, head("GET /echo HTTP/1.1", *names))
        assert status == answer.status

    async def test_nothing_sent(self) -> None:
        """A connection that sends nothing is closed after the deadline, without a response."""
        async with served(head_seconds=0.1) as one, wire(one.port) as opened:
            assert b"" == await opened.rest()
            assert 1.0 == one.refused("silent")

    async def test_half_a_head(self) -> None:
        """A head that is not complete within the deadline gets a 408."""
        async with served(head_seconds=0.1) as one, wire(one.port) as opened:
            answer = await opened.ask(b"GET /echo HTTP/1.1\r\nHost: a\r\n")
            await _closed(opened)
        assert 408 == answer.status
        assert "close" == answer.headers["connection"]

    async def test_a_byte_now_and_then(self) -> None:
        """Bytes that trickle in do not extend the deadline."""
        async with served(head_seconds=0.3) as one, wire(one.port) as opened:
            trickling = asyncio.create_task(_trickle(opened))
            answer = await opened.answer()
            trickling.cancel()
        assert 408 == answer.status

    async def test_half_a_further_head(self) -> None:
        """The deadline holds for every request of a connection."""
        async with served(head_seconds=0.1) as one, wire(one.port) as opened:
            first = await opened.ask(GET)
            second = await opened.ask(b"GET")
        assert 200 == first.status
        assert 408 == second.status

    async def test_between_requests(self) -> None:
        """A connection without a further request is closed after the idle time, without a response."""
        async with served(idle_seconds=0.1) as one, wire(one.port) as opened:
            answer = await opened.ask(GET)
            assert 200 == answer.status
            assert b"" == await opened.rest()


async def _trickle(opened: Wire) -> None:
    while True:
        await opened.send(b"G")
        await asyncio.sleep(0.02)


class TestNotHttp:
    """Ambiguous requests are refused; `test_http_parser.py` has all cases."""

    @pytest.mark.parametrize(
        ("request_head", "status", "reason"),
        [
            (head("GET /echo HTTP/1.1", host=[]), 400, "bad_host"),
            (head("GET /echo HTTP/1.1", host=["Host: a", "Host: a"]), 400, "bad_host"),
            (head("GET /echo HTTP/1.1", "name: folded", " further"), 400, "bad_header"),
            (head("GET /echo HTTP/1.1").replace(b"\r\n", b"\n"), 400, "bad_header"),
            (head("POST /echo HTTP/1.1", "Content-Length: 2", "Transfer-Encoding: chunked"), 400, "bad_length"),
            (head("PRI * HTTP/2.0"), 505, "unknown_version"),
            (b"\x16\x03\x01\x02\x00\x01\x00", 400, "bad_request_line"),
        ],
    )
    async def test_head(self, request_head: bytes, status: int, reason: str) -> None:
        """A refused head is answered, ends the connection and is counted."""
        async with served() as one, wire(one.port) as opened:
            answer = await opened.ask(request_head)
            assert status == answer.status
            assert "close" == answer.headers["connection"]
            assert b"" == await opened.rest()
            assert 1.0 == one.refused(reason)

    @pytest.mark.parametrize("line", ["GET /echo HTTP/1.0", "GET http://facade/echo HTTP/1.1"])
    async def test_uncommon_lines(self, line: str) -> None:
        """HTTP/1.0 is understood, and a target as for a proxy."""
        async with served() as one:
            answer = await ask(one.port, head(line))
        assert 200 == answer.status
        assert "/echo" == answer.headers["path"]

    async def test_bad_chunk(self) -> None:
        """An invalid chunk gets a 400, even if a handler has the request already."""
        async with served() as one, wire(one.port) as opened:
            answer = await opened.ask(CHUNKED, b"2\r\nabc")
            assert 400 == answer.status
            assert b"" == await opened.rest()

    async def test_bad_chunk_after_half_an_answer(self) -> None:
        """A response that has started breaks off if its request turns out to be invalid."""
        async with served() as one, wire(one.port) as opened:
            await opened.send(CHUNKED.replace(b"POST /echo", b"GET /endless"))
            await until(one.begun.is_set, what="the answer to begin")
            await opened.send(b"no chunk\r\n")
            with pytest.raises(Broken):
                await opened.answer()

    async def test_chunks_in_any_segments(self) -> None:
        """A chunked body is read in any segments, with extensions and trailers."""
        body = b"5;a=b\r\nhello\r\n0000A \t;c\r\n, chunked!\r\n0\r\ntrailer: x\r\n\r\n"
        async with served() as one, wire(one.port) as opened:
            answer = await opened.ask(CHUNKED, *[body[at : at + 1] for at in range(len(body))])
            again = await opened.ask(GET)
        assert 200 == answer.status
        assert b"hello, chunked!" == answer.body
        assert 200 == again.status


class TestUpgrade:
    """An offered upgrade is ignored."""

    @pytest.mark.parametrize("chunked", [False, True])
    @pytest.mark.parametrize(
        "offer",
        [
            ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAB"],
            ["Connection: Upgrade", "Upgrade: TLS/1.2"],
            ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA=="],
        ],
        ids=["h2c", "TLS", "websocket"],
    )
    async def test_the_body_is_kept(self, offer: list[str], *, chunked: bool) -> None:
        """The request is answered without the upgrade, in one segment or several, one after another."""
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(BODY)}"
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY) if chunked else BODY
        request = head("POST /echo HTTP/1.1", *offer, length) + body
        async with served() as one, wire(one.port) as opened:
            cuts = [(request,), *((request[:-cut], request[-cut:]) for cut in (1, len(body), len(body) + 4))]
            bodies = [(await opened.ask(*segments)).body for segments in cuts]
        assert [BODY] * 4 == bodies


class TestBodies:
    """A body that no handler reads is not read to its end."""

    async def test_an_endless_body_after_a_refusal(self) -> None:
        """A request refused before its body has arrived ends the connection, however large the body is."""
        async with served(linger_bytes=100_000) as one, wire(one.port) as opened:
            answer = await opened.ask(head("POST /refuse HTTP/1.1", "Content-Length: 100000000") + b"x")
            await opened.send(*[b"x" * 65536] * 1000)
            await _closed(opened)
        assert 401 == answer.status
        assert "close" == answer.headers["connection"]

    async def test_a_slow_body_after_a_refusal(self) -> None:
        """A body that trickles in after the answer is not waited for."""
        async with served(linger_seconds=0.1) as one, wire(one.port) as opened:
            answer = await opened.ask(CHUNKED.replace(b"/echo", b"/refuse"))
            await _closed(opened)
        assert 401 == answer.status
        assert "close" == answer.headers["connection"]

    async def test_a_refusal_is_received(self) -> None:
        """A client that sends its whole body before it reads still gets the response."""
        body = b"x" * 500_000
        async with served() as one:
            answer = await ask(one.port, head("POST /refuse HTTP/1.1", f"Content-Length: {len(body)}"), body)
        assert 401 == answer.status

    async def test_a_refused_body_that_has_arrived(self) -> None:
        """A request that is complete when it is refused leaves its connection open."""
        async with served() as one, wire(one.port) as opened:
            first = await opened.ask(POST.replace(b"/echo", b"/refuse"))
            second = await opened.ask(POST)
        assert 401 == first.status
        assert 200 == second.status
        assert BODY == second.body

    async def test_continue(self) -> None:
        """A client that expects 100 Continue gets it."""
        request_head = head("POST /echo HTTP/1.1", f"Content-Length: {len(BODY)}", "Expect: 100-continue")
        async with served() as one, wire(one.port) as opened:
            asked = await opened.ask(request_head)
            answer = await opened.ask(BODY)
        assert 100 == asked.status
        assert 200 == answer.status
        assert BODY == answer.body

    async def test_refused_before_continue(self) -> None:
        """A client whose request is refused gets no 100 Continue."""
        request_head = CHUNKED.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
        async with served() as one, wire(one.port) as opened:
            answer = await opened.ask(request_head + b"no chunk\r\n")
            assert 400 == answer.status
            assert b"" == await opened.rest()

    async def test_large_bodies(self) -> None:
        """A body larger than any buffer arrives completely."""
        body = bytes(range(256)) * 4000
        async with served() as one:
            answer = await ask(one.port, head("POST /echo HTTP/1.1", f"Content-Length: {len(body)}"), body)
        assert body == answer.body


class TestOneAfterTheOther:
    """Requests sent before the last one is answered."""

    async def test_answered_in_order(self) -> None:
        """They are answered in order, each with its own body."""
        bodies = [b"%d" % number for number in range(50)]
        requests = [head("POST /echo HTTP/1.1", f"Content-Length: {len(body)}") + body for body in bodies]
        async with served() as one, wire(one.port) as opened:
            await opened.send(b"".join(requests))
            answers = [await opened.answer() for _ in bodies]
        assert bodies == [answer.body for answer in answers]

    async def test_far_ahead(self) -> None:
        """Requests sent too far ahead are dropped: the current response is the last one."""
        async with served() as one, wire(one.port) as opened:
            await opened.send(head("GET /wait HTTP/1.1"), *[GET * 1000] * 20)
            await until(lambda: one.waiting, what="the request to be seen")
            one.go.set()
            answer = await opened.answer()
            assert 200 == answer.status
            assert b"done" == answer.body
            assert b"" == await opened.rest()

    async def test_a_head_without_keep_alive(self) -> None:
        """If a client asks to close, the connection closes without waiting."""
        async with served(linger_seconds=1000) as one, wire(one.port) as opened:
            answer = await opened.ask(head("GET /echo HTTP/1.1", "Connection: x, Close"))
            assert 200 == answer.status
            assert b"" == await opened.rest()


class TestPlaces:
    """A port has a bounded number of connections, and always a place for a new request."""

    async def test_the_longest_idle_connection_is_replaced(self) -> None:
        """With all places taken, a new connection replaces the one that has waited longest."""
        async with AsyncExitStack() as opened:
            one = await opened.enter_async_context(served(connections=3))
            wires = [await opened.enter_async_context(wire(one.port)) for _ in range(3)]
            for each in (wires[1], wires[0], wires[2]):
                await each.ask(GET)
            newest = await opened.enter_async_context(wire(one.port))
            answer = await newest.ask(GET)
            await _closed(wires[1])
            others = [await each.ask(GET) for each in (wires[0], wires[2])]
            assert [200, 200, 200] == [answer.status, *(each.status for each in others)]
            assert 1.0 == one.refused("evicted")

    @pytest.mark.parametrize("sent", [b"", b"GET / HT", POST[:-1]], ids=["silent", "half a head", "half a body"])
    async def test_connections_without_a_request_are_replaced(self, sent: bytes) -> None:
        """Connections that send nothing, or no complete request, block nobody."""
        async with AsyncExitStack() as opened:
            one = await opened.enter_async_context(served(connections=5))
            for _ in range(40):
                await (await opened.enter_async_context(wire(one.port))).send(sent)
            answer = await ask(one.port, GET)
        assert 200 == answer.status

    async def test_all_places_are_busy(self) -> None:
        """With a request under way on every place, a new connection gets a 503; none is aborted."""
        async with AsyncExitStack() as opened:
            one = await opened.enter_async_context(served(connections=2))
            wires = [await opened.enter_async_context(wire(one.port)) for _ in range(2)]
            for each in wires:
                await each.send(head("GET /wait HTTP/1.1"))
            await until(lambda: one.waiting == 2, what="both to be at work")
            refused = await ask(one.port, GET)
            one.go.set()
            answers = [await each.answer() for each in wires]
            assert 503 == refused.status
            assert "close" == refused.headers["connection"]
            assert "1" == refused.headers["retry-after"]
            assert [200, 200] == [answer.status for answer in answers]

    async def test_places_become_free(self) -> None:
        """Refused and closed connections free their places, however many there are."""
        async with AsyncExitStack() as opened:
            one = await opened.enter_async_context(served(connections=2))
            busy = [await opened.enter_async_context(wire(one.port)) for _ in range(2)]
            for each in busy:
                await each.send(head("GET /wait HTTP/1.1"))
            await until(lambda: one.waiting == 2, what="both to be at work")
            for _ in range(100):
                with contextlib.suppress(Broken):
                    await ask(one.port, GET)
            assert 2 == one.waiting
            one.go.set()
            assert [200, 200] == [(await each.answer()).status for each in busy]
            assert 200 == (await ask(one.port, GET)).status

    async def test_a_client_that_does_not_read(self) -> None:
        """A response that the client does not read is aborted after its time, and its handler ends."""
        async with served(write_seconds=0.2) as one, wire(one.port) as opened:
            await opened.send(head("GET /endless HTTP/1.1"))
            await until(one.ended.is_set, what="the handler to end")
            assert 1.0 == one.refused("late_reader")

    async def test_a_client_that_hangs_up(self) -> None:
        """A client that hangs up during its response is released at once."""
        async with served(connections=1) as one:
            async with wire(one.port) as opened:
                await opened.send(head("GET /wait HTTP/1.1"))
                await until(lambda: one.waiting, what="the request to be seen")
            one.go.set()
            assert 200 == (await until(lambda: _answered(one.port), what="its place to be free"))


async def _answered(port: int) -> int | None:
    with contextlib.suppress(Broken):
        answer = await ask(port, GET)
        return answer.status if answer.status == 200 else None
    return None
