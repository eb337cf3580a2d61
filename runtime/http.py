"""Serve HTTP in our own event loop: uvicorn's request cycles, without its server, signal handlers and exits."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any, Literal

import structlog
from prometheus_client import Counter
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from runtime.http_connections import Connections, HttpBounds
from runtime.http_protocol import HttpProtocol, Port
from runtime.process import StartRefused
from runtime.settings import env_name

_BACKLOG = 2048
_ABORT_SECONDS = 1.0
_DATE_SECONDS = 1.0
_LOOK_EVERY_SECONDS = 0.02
_LOG_EVERY_SECONDS = 60.0

log = structlog.get_logger(__name__)


class _Server:
    """Accepts connections, keeps their date header current, and stops in order within a deadline."""

    def __init__(self, app: ASGIApp, bounds: HttpBounds, refused: Callable[[str], None]) -> None:
        self._state = ServerState()
        self._port = Port(app, self._state, bounds, Connections(bounds.connections), refused)
        self._server: asyncio.Server | None = None
        self._set_date()

    async def listen(self, listener: socket.socket) -> None:
        """Accept connections until `stop`."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: HttpProtocol(self._port), sock=listener, backlog=_BACKLOG)

    async def keep_date(self) -> None:
        """Keep the date header current, until cancelled."""
        while True:
            await asyncio.sleep(_DATE_SECONDS)
            self._set_date()

    def _set_date(self) -> None:
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]

    async def stop(self, drain_seconds: float) -> None:
        """Accept no more connections; let requests under way finish within the deadline, then abort them."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(drain_seconds):
                while self._state.connections or self._state.tasks:  # noqa: ASYNC110 - uvicorn's cycles set no event
                    await asyncio.sleep(_LOOK_EVERY_SECONDS)
        except TimeoutError:
            log.warning("http.aborted", requests=len(self._state.tasks))
        finally:
            await self._abort()

    async def _abort(self) -> None:
        """Abort requests past the deadline, and clients that do not read."""
        connections: list[Any] = list(self._state.connections)
        for connection in connections:
            connection.transport.abort()
        if tasks := set(self._state.tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_ABORT_SECONDS)


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
    with await _listen(endpoint, host, port) as listener:
        server = _Server(app, bounds or HttpBounds(), _Refusals(endpoint, refusals))
        dating = asyncio.create_task(server.keep_date(), name=f"{endpoint}-date")
        try:
            await server.listen(listener)
            yield listener.getsockname()[1]
        finally:
            try:
                await server.stop(drain_seconds)
            finally:
                dating.cancel()
                await asyncio.wait([dating])


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
