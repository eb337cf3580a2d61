"""Serve the local SES with uvicorn, so that connections can be dropped and a stop is quick."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from deploy.local.ses.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deploy.local.ses.app import LocalSes

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75  # longer than clients keep idle connections, so that these do not look like lost answers
START_SECONDS = 10
STOP_SECONDS = 1  # for requests in flight at a stop


class LocalSesServer(uvicorn.Server):
    """Serve one LocalSes until SIGTERM, SIGINT or ``stop``; end within two seconds, even with hung requests."""

    def __init__(self, app: LocalSes, *, on_started: Callable[[], None] = lambda: None) -> None:
        config = uvicorn.Config(
            app,
            http=Connection,
            loop="uvloop",
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
            server_header=False,
        )
        super().__init__(config)
        self._local_ses = app
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, and report it."""
        self._local_ses.begin()
        await super().startup(sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Release delayed requests, then close."""
        await self._local_ses.end()
        await super().shutdown(sockets)

    def stop(self) -> None:
        """Ask the server to end; safe to call from any thread."""
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT; uvicorn would raise the signal again at the end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        loop = asyncio.get_running_loop()
        for signal in HANDLED_SIGNALS:
            loop.add_signal_handler(signal, self.stop)
        try:
            yield
        finally:
            for signal in HANDLED_SIGNALS:
                loop.remove_signal_handler(signal)


def listen(host: str, port: int) -> socket.socket:
    """Bind a socket; port 0 is any free one. Raise OSError if the port is taken."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


@contextmanager
def running(app: LocalSes) -> Iterator[str]:
    """Serve *app* in a thread and yield its address, for tests; raise RuntimeError if it does not start."""
    started = threading.Event()
    with listen("127.0.0.1", 0) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = LocalSesServer(app, on_started=started.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="local-ses")
        thread.start()
        try:
            if not started.wait(START_SECONDS):
                raise RuntimeError("the local SES did not start")
            yield address
        finally:
            server.stop()
            thread.join()
