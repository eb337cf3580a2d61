"""Serve HTTP in our own event loop: uvicorn without its signal handlers, its lifespan and its exits."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal

import structlog
import uvicorn
from prometheus_client import Counter
from starlette.types import ASGIApp

from runtime.http_connections import Connections, HttpBounds
from runtime.http_protocol import HttpProtocol, Port
from runtime.process import StartRefused
from runtime.settings import env_name

_BACKLOG = 2048
_ABANDON_SECONDS = 1.0
_LOG_EVERY_SECONDS = 60.0

log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the program, and signals when it listens."""

    def __init__(
        self, config: uvicorn.Config, app: ASGIApp, bounds: HttpBounds, refused: Callable[[str], None]
    ) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._port = Port(app, self.server_state, bounds, Connections(bounds.connections), refused)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the program."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen with our own protocol, then set `listening`."""
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(lambda: HttpProtocol(self._port), sock=listener, backlog=_BACKLOG)
            for listener in sockets or ()
        ]
        self.started = True
        self.listening.set()

    async def abandon(self) -> None:
        """Abort what is left after a graceful stop: requests past the deadline, clients that do not read."""
        for listener in getattr(self, "servers", ()):
            listener.close()
        connections: list[Any] = list(self.server_state.connections)
        for connection in connections:
            if connection.transport is not None:
                connection.transport.abort()
        if tasks := set(self.server_state.tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_ABANDON_SECONDS)


@asynccontextmanager
async def serve(
    app: ASGIApp,
    endpoint: Literal["http", "management"],
    *,
    host: str,
    port: int,
    drain_seconds: float,
    bounds: HttpBounds | None = None,
    refusals: Counter | None = None,
) -> AsyncIterator[int]:
    """
    Serve *app* while the context lasts and yield the port; *endpoint* names the settings of host and port.

    *bounds* limit everything before the app, and *refusals* counts what exceeds them. On exit no new connection is
    accepted, and requests under way may finish within *drain_seconds*; then they are aborted. The app's own lifespan
    is not run: build what it needs before, and pass it in.

    Raises:
        StartRefused: The port cannot be listened on.
    """
    listener = await _listen(endpoint, host, port)
    try:
        server = _Server(_config(app, drain_seconds), app, bounds or HttpBounds(), _Refusals(endpoint, refusals))
        serving = asyncio.create_task(server.serve(sockets=[listener]), name=f"{endpoint}-server")
        try:
            await _started(server, serving)
            yield listener.getsockname()[1]
        finally:
            await _stop(server, serving)
    finally:
        listener.close()


class _Refusals:
    """Counts what the server refuses, and logs each reason at most once a minute, so that no flood fills the log."""

    def __init__(self, endpoint: str, counter: Counter | None) -> None:
        self._endpoint = endpoint
        self._counter = counter
        self._logged_at: dict[str, float] = {}

    def __call__(self, reason: str) -> None:
        if self._counter is not None:
            self._counter.labels(self._endpoint, reason).inc()
        now = time.monotonic()
        if now - self._logged_at.get(reason, -math.inf) >= _LOG_EVERY_SECONDS:
            self._logged_at[reason] = now
            log.warning("http.refused", port=self._endpoint, reason=reason)


def _config(app: ASGIApp, drain_seconds: float) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=math.ceil(drain_seconds),
    )


async def _started(server: _Server, serving: asyncio.Task[None]) -> None:
    listening = asyncio.create_task(server.listening.wait())
    try:
        await asyncio.wait([listening, serving], return_when=asyncio.FIRST_COMPLETED)
    finally:
        listening.cancel()
    if serving.done():
        serving.result()


async def _stop(server: _Server, serving: asyncio.Task[None]) -> None:
    server.should_exit = True
    try:
        await serving
    finally:
        await server.abandon()


async def _listen(endpoint: str, host: str, port: int) -> socket.socket:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        both = family == socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
        listener = socket.create_server(address, family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        settings = f"{env_name(f'{endpoint}_port')} (or {env_name(f'{endpoint}_host')})"
        number = error.errno or 0  # getaddrinfo has numbers below zero
        reason = os.strerror(number) if number > 0 else error.strerror
        raise StartRefused(
            f"Port {port} on {host} cannot be listened on: {reason}. "
            f"Stop the program that uses it, or set {settings} to a free one."
        ) from error
    listener.settimeout(0)
    return listener
