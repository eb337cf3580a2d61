"""The management port and its HTTP server, over real sockets."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
from prometheus_client import Counter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from runtime.http import serve
from runtime.management import Health, management_server
from runtime.metrics import http_refusals, program_registry
from runtime.process import StartRefused
from tests.waiting import until

HOST = "127.0.0.1"


class Probed:
    """A program whose health a test sets."""

    live = Health(ok=True)
    ready = Health(ok=False, detail={"contacts": "reading"})


@pytest.fixture
def probed() -> Probed:
    """Return a program that is live but not ready."""
    return Probed()


@pytest.fixture
async def client(probed: Probed) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the program's management port and yield a client for it."""
    registry = program_registry()
    Counter("pause_notifications_tests", "Counted here.", registry=registry).inc()
    async with (
        management_server(
            HOST,
            0,
            live=lambda: probed.live,
            ready=lambda: probed.ready,
            registry=registry,
            refusals=http_refusals(registry),
        ) as port,
        httpx.AsyncClient(base_url=f"http://{HOST}:{port}") as http,
    ):
        yield http


@pytest.mark.parametrize("path", ["/livez", "/healthz"])
async def test_liveness(client: httpx.AsyncClient, path: str) -> None:
    """A live program answers 200 on both liveness paths."""
    answer = await client.get(path)
    assert 200 == answer.status_code
    assert {"ok": True} == answer.json()


async def test_readiness(client: httpx.AsyncClient, probed: Probed) -> None:
    """A program that is not ready answers 503 with details, and 200 once it is ready."""
    before = await client.get("/readyz")
    probed.ready = Health(ok=True, detail={"partitions": 4})
    after = await client.get("/readyz")
    assert 503 == before.status_code
    assert {"ok": False, "contacts": "reading"} == before.json()
    assert 200 == after.status_code
    assert {"ok": True, "partitions": 4} == after.json()


async def test_metrics(client: httpx.AsyncClient) -> None:
    """The program's own registry is scraped, including the process's metrics."""
    answer = await client.get("/metrics")
    assert 200 == answer.status_code
    assert answer.headers["content-type"].startswith("text/plain")
    assert {"pause_notifications_tests_total 1.0"} <= set(answer.text.splitlines())
    assert "process_resident_memory_bytes" in answer.text


async def test_a_taken_port_refuses_the_start() -> None:
    """The error names the port in use and the settings that choose it."""
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartRefused) as refused:
            async with serve(Starlette(), "management", host=HOST, port=port, drain_seconds=1):
                pass
    assert (
        f"Port {port} on {HOST} cannot be listened on: Address already in use. Stop the program that uses "
        "it, or set "
        "PAUSE_NOTIFICATIONS_MANAGEMENT_PORT (or PAUSE_NOTIFICATIONS_MANAGEMENT_HOST) to a free one."
    ) == str(refused.value)


async def test_an_unknown_host_refuses_the_start() -> None:
    """An unknown host is refused, and its setting is named."""
    with pytest.raises(StartRefused, match="PAUSE_NOTIFICATIONS_HTTP_HOST"):
        async with serve(Starlette(), "http", host="host.invalid", port=0, drain_seconds=1):
            pass


class Slow:
    """An app whose request lasts until a test releases it."""

    def __init__(self) -> None:
        self.begun, self.go, self.cut_off = asyncio.Event(), asyncio.Event(), False
        self.app = Starlette(routes=[Route("/", self.answer)])

    async def answer(self, _request: Request) -> Response:
        """Answer once released."""
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cut_off = True
            raise
        return PlainTextResponse("done")


async def test_a_request_under_way_ends_before_the_port_closes() -> None:
    """During the stop the current request is answered, and new connections are refused."""
    slow = Slow()
    async with httpx.AsyncClient() as http:

        async def closed() -> bool:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except (ConnectionRefusedError, ConnectionResetError):  # the port may close while we connect
                return True
            writer.close()
            await writer.wait_closed()
            return False

        async def let_go() -> None:
            await until(closed, what="the port to close")
            slow.go.set()

        async with serve(slow.app, "http", host=HOST, port=0, drain_seconds=20) as port:
            asking = asyncio.create_task(http.get(f"http://{HOST}:{port}/", timeout=20))
            await slow.begun.wait()
            letting_go = asyncio.create_task(let_go())
        await letting_go
        assert "done" == (await asking).text


async def test_a_request_past_the_deadline_is_cut_off() -> None:
    """A request past the deadline is cancelled and its connection closed; no task is left."""
    slow = Slow()
    before = asyncio.all_tasks()
    async with httpx.AsyncClient() as http:
        async with serve(slow.app, "http", host=HOST, port=0, drain_seconds=0.1) as port:
            asking = asyncio.create_task(http.get(f"http://{HOST}:{port}/", timeout=20))
            await slow.begun.wait()
        async with asyncio.timeout(10):
            outcome = await asyncio.gather(asking, return_exceptions=True)
    assert slow.cut_off
    assert not (isinstance(outcome[0], httpx.Response) and outcome[0].is_success)
    assert before == asyncio.all_tasks()


async def test_an_error_inside_passes_through_and_closes() -> None:
    """An error in the context is raised unchanged, and the port is free again."""
    with pytest.raises(LookupError):
        async with serve(Starlette(), "http", host=HOST, port=0, drain_seconds=1) as port:
            raise LookupError
    async with serve(Starlette(), "http", host=HOST, port=port, drain_seconds=1) as again:
        assert port == again


async def test_signals_stay_the_programs() -> None:
    """Serving does not change the signal handlers."""
    before = signal.getsignal(signal.SIGTERM)
    async with serve(Starlette(), "http", host=HOST, port=0, drain_seconds=1):
        assert before == signal.getsignal(signal.SIGTERM)
