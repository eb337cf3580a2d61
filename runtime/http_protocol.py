"""One HTTP/1.1 connection: uvicorn handles each request, and our limits hold before and after it."""

from __future__ import annotations

import asyncio
import http
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote

from starlette.types import ASGIApp
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from runtime.http_connections import Connections, HttpBounds
from runtime.http_parser import MAX_HEAD_BYTES, End, Head, Refused, RequestParser

_MAX_UNPLACED = 32
_ASGI = {"version": "3.0", "spec_version": "2.3"}
_logger = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class Port:
    """What all connections of a port share."""

    app: ASGIApp
    state: ServerState
    bounds: HttpBounds
    connections: Connections
    refused: Callable[[str], None]
    """Called with the reason for each connection and request that no handler saw."""


class HttpProtocol(asyncio.Protocol):
    """Reads one request after another, lets the app answer each, and closes the connection if it exceeds the limits."""

    transport: asyncio.Transport

    def __init__(self, port: Port) -> None:
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._parser = RequestParser()
        self._cycle: _Cycle | None = None
        self._ending = False
        self._outrun = False  # the client has sent more than is read
        self._thrown_away = 0
        self._timer = _Timer(self._loop)
        self._write_timer = _Timer(self._loop)

    # -- called by asyncio, uvicorn and other connections ------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place and wait for a head; without a place, answer 503."""
        self.transport = transport = cast("asyncio.Transport", transport)  # a listening socket makes no other
        self._client = (transport.get_extra_info("peername") or ("", 0))[:2]
        self._server = (transport.get_extra_info("sockname") or ("", 0))[:2]
        self._flow = FlowControl(transport)
        state = self._port.state
        state.connections.add(self)  # type: ignore[arg-type]  # uvicorn asks for no more than shutdown()
        if self._port.connections.place(self):
            self._timer.set(self._port.bounds.head_seconds, self._on_late_head)
        elif len(state.connections) - len(self._port.connections) > _MAX_UNPLACED:
            self._port.refused("no_place")
            transport.abort()
        else:
            self._refuse(Refused("no_place", 503, "All connections are busy. Come again."))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Release everything, and tell the handler that the client is gone."""
        self._timer.clear()
        self.resume_writing()
        self._ending = True
        self._parser.drop()
        self._port.connections.leave(self)
        self._port.state.connections.discard(self)
        if self._cycle is not None:
            self._cycle.hang_up()
            self._cycle = None  # break the reference cycle, so that bodies are freed at once

    def eof_received(self) -> None:
        """Treat a client that has closed its side as gone."""
        self._ending = True
        self._close()

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived, or discard it once the connection is ending."""
        if self._ending:
            self._thrown_away += len(data)
            if self._thrown_away > self._port.bounds.linger_bytes:
                self.transport.abort()
            return
        idle = self._cycle is None and not self._parser.held
        self._parser.feed(data)
        self._read_on()
        if idle and self._cycle is None and not self._ending:
            self._timer.set(self._port.bounds.head_seconds, self._on_late_head)

    def pause_writing(self) -> None:
        """Pause the handler while the client does not read, for a limited time."""
        self._flow.pause_writing()
        if not self._write_timer.running:
            self._write_timer.set(self._port.bounds.write_seconds, self._on_late_reader)

    def resume_writing(self) -> None:
        """Let the handler write again."""
        self._flow.resume_writing()
        self._write_timer.clear()

    def shutdown(self) -> None:
        """Close after the current request, or now if there is none."""
        if self._cycle is None:
            self._ending = True
            self._close()
        else:
            self._cycle.keep_alive = False

    def evict(self) -> None:
        """Close without a response, in favour of a newer connection."""
        self._port.refused("evicted")
        self._ending = True
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self._close()

    # -- requests ----------------------------------------------------------------------------------------------------

    def _read_on(self) -> None:
        """Parse up to the end of the request that is being answered."""
        try:
            while self._cycle is None or self._cycle.more_body:
                event = self._parser.next_event()
                if event is None:
                    return
                self._take(event)
        except Refused as refused:
            self._refuse(refused)
            return
        if self._parser.held > MAX_HEAD_BYTES:  # sent far ahead of a response, which is now the last one
            assert self._cycle is not None  # noqa: S101 - only a response under way stops the parsing
            self._cycle.keep_alive = False
            self._outrun = True
            self._parser.drop()
            self._flow.pause_reading()

    def _take(self, event: Head | bytes | End) -> None:
        if isinstance(event, Head):
            self._begin(event)
            return
        assert self._cycle is not None  # noqa: S101 - the parser begins with a head
        if isinstance(event, bytes):
            self._cycle.body += event
            if len(self._cycle.body) > HIGH_WATER_LIMIT:
                self._flow.pause_reading()
        else:
            self._cycle.more_body = False
            self._port.connections.work(self)
        self._cycle.message_event.set()

    def _begin(self, head: Head) -> None:
        self._timer.clear()
        state = self._port.state
        outlet = _Outlet(self.transport, self._finish, lambda: self._ending)
        scope = _scope(head, self._client, self._server)
        self._cycle = cycle = _Cycle(head, scope, outlet, self._flow, state.default_headers, self._on_answered)
        task = self._loop.create_task(cycle.run_asgi(self._port.app))  # type: ignore[arg-type]  # Starlette's type of it
        state.tasks.add(task)
        task.add_done_callback(state.tasks.discard)

    def _on_answered(self) -> None:
        """Wait for the next request, or parse what has arrived of it."""
        self._port.state.total_requests += 1
        if self._ending:
            return
        self._cycle = None
        self._port.connections.wait(self)
        if self._parser.held:
            self._timer.set(self._port.bounds.head_seconds, self._on_late_head)
        else:
            self._timer.set(self._port.bounds.idle_seconds, self._finish)
        self._flow.resume_reading()
        self._read_on()

    # -- ends --------------------------------------------------------------------------------------------------------

    def _refuse(self, refused: Refused) -> None:
        """Answer a request that no handler sees, and close."""
        self._port.refused(refused.reason)
        if self.transport.is_closing():
            return
        if self._cycle is not None:
            if self._cycle.response_started:
                self.transport.abort()  # half a response is out: the client must not take it for complete
                return
            self._cycle.hang_up()
        self.transport.write(_refusal(refused))
        self._outrun = True
        self._finish()

    def _finish(self) -> None:
        """
        Close once the response is out; until the client has read it, discard whatever it still sends.

        If we closed at once, the client's system would drop a response that the client has not read yet.
        """
        if self._ending or self.transport.is_closing():
            return
        self._ending = True
        self._port.connections.wait(self)
        if not (self._outrun or self._parser.held or (self._cycle is not None and self._cycle.more_body)):
            self._close()
            return
        self._parser.drop()
        self.transport.write_eof()
        self._flow.resume_reading()
        self._timer.set(self._port.bounds.linger_seconds, self.transport.abort)

    def _close(self) -> None:
        self.transport.close()
        self._timer.set(self._port.bounds.write_seconds, self.transport.abort)

    def _on_late_head(self) -> None:
        if self._parser.held:
            seconds = self._port.bounds.head_seconds
            self._refuse(Refused("late_head", 408, f"The head of a request arrives within {seconds:g} seconds."))
        else:
            self._port.refused("silent")
            self._finish()

    def _on_late_reader(self) -> None:
        self._port.refused("late_reader")
        self.transport.abort()


def _scope(head: Head, client: tuple[str, int], server: tuple[str, int]) -> dict[str, Any]:
    path = head.path.decode("ascii")
    return {
        "type": "http",
        "asgi": _ASGI,
        "http_version": head.version,
        "server": server,
        "client": client,
        "scheme": "http",
        "method": head.method,
        "root_path": "",
        "path": unquote(path) if "%" in path else path,
        "raw_path": head.path,
        "query_string": head.query,
        "headers": head.headers,
        "state": {},
    }


def _refusal(refused: Refused) -> bytes:
    status = http.HTTPStatus(refused.status)
    text = f"{refused.text}\n".encode()
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(text)}",
        "Connection: close",
        *(["Retry-After: 1"] if status is http.HTTPStatus.SERVICE_UNAVAILABLE else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + text


class _Cycle(RequestResponseCycle):
    """uvicorn's request and response; a response that starts before the request has ended is the connection's last."""

    def __init__(
        self,
        head: Head,
        scope: dict[str, Any],
        outlet: _Outlet,
        flow: FlowControl,
        default_headers: list[tuple[bytes, bytes]],
        on_response: Callable[[], None],
    ) -> None:
        super().__init__(
            scope=scope,  # type: ignore[arg-type]  # uvicorn's TypedDict of the same keys
            transport=outlet,  # type: ignore[arg-type]  # what it uses of a transport
            flow=flow,
            logger=_logger,
            access_logger=_logger,
            access_log=False,
            default_headers=default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=head.expects_continue,
            keep_alive=head.keep_alive,
            on_response=on_response,
        )

    async def send(self, message: Any) -> None:
        """Send a part of the response."""
        if self.more_body and not self.response_started:
            self.keep_alive = False
        await super().send(message)

    def hang_up(self) -> None:
        """Tell the handler that the client is gone, unless it has answered."""
        if not self.response_complete:
            self.disconnected = True
        self.message_event.set()


class _Timer:
    """Calls a function once after some seconds, unless it is cleared or set again."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        return self._handle is not None

    def set(self, seconds: float, then: Callable[[], None]) -> None:
        self.clear()
        self._handle = self._loop.call_later(seconds, then)

    def clear(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class _Outlet:
    """The transport for a response: closing it first lets the client read the response."""

    def __init__(self, transport: asyncio.Transport, finish: Callable[[], None], ending: Callable[[], bool]) -> None:
        self.write = transport.write
        self.close = finish
        self.is_closing = ending
