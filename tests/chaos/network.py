"""A network that can be cut: TCP proxies in front of the brokers' second listeners, or of SES, for one program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from enum import Enum

from deploy.local.kafka.cluster import Cluster
from deploy.local.ports import HOST, free_ports

_CHUNK = 64 * 1024
_CONNECT_SECONDS = 5.0


class Mode(Enum):
    """What happens to data that is sent through a proxy."""

    OPEN = "all passes"
    SWALLOWED = "connections stand, bytes vanish both ways; a connection that lacks some is reset when all passes again"
    UNANSWERED = "requests pass, answers vanish; likewise"
    STALE = "bytes vanish both ways where a connection stands already; new connections pass"
    HELD = "connections stand, and what is sent arrives when all passes again, as after retransmission"
    REFUSED = "connections are reset, and new ones refused"


class Proxy:
    """One address in front of another; both ends see plain TCP."""

    def __init__(
        self, target: str, *, port: int | None = None, on_request: Callable[[bytes], object] = lambda _: None
    ) -> None:
        """Create a proxy in front of *target*, host:port; *on_request* gets each chunk that passes towards it."""
        host, _, number = target.rpartition(":")
        self._target = host, int(number)
        self._port = port or free_ports(1)[0]
        self.mode = Mode.OPEN
        self._on_request = on_request
        self._server: asyncio.Server | None = None
        self._passing = asyncio.Event()
        self._passing.set()
        self._connections: set[_Connection] = set()

    @property
    def address(self) -> str:
        """Return its address: host:port."""
        return f"{HOST}:{self._port}"

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, HOST, self._port)

    async def stop(self) -> None:
        """Stop listening, and reset all connections."""
        self.mode = Mode.REFUSED
        if self._server is not None:
            self._server.close()
            self._server = None
        self._passing.set()  # data that is held is dropped
        connections = list(self._connections)
        for connection in connections:
            connection.reset()
        await asyncio.gather(*(connection.ended.wait() for connection in connections))

    async def set(self, mode: Mode) -> None:
        """Treat all data in this way from now on."""
        if mode is Mode.REFUSED:
            await self.stop()
        elif self._server is None:
            await self.start()
        self.mode = mode
        if mode is Mode.HELD:
            self._passing.clear()
        else:
            self._passing.set()
        for connection in list(self._connections):
            if mode is Mode.OPEN and connection.lacks_bytes:
                connection.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer)
        connection.fresh = self.mode is Mode.STALE
        self._connections.add(connection)
        try:
            await self._passing.wait()
            async with asyncio.timeout(_CONNECT_SECONDS):
                there, to_there = await asyncio.open_connection(*self._target)
            connection.add(to_there)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, to_there, connection, request=True))
                pumps.create_task(self._pump(there, writer, connection, request=False))
        except* OSError:  # either end is gone, or we reset it; a time-out is an OSError, too
            pass
        finally:
            connection.reset()
            self._connections.discard(connection)
            connection.ended.set()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Connection, *, request: bool
    ) -> None:
        while True:
            chunk = await reader.read(_CHUNK)
            await self._passing.wait()
            if self._swallows(connection, request=request):
                connection.lacks_bytes = True  # its end is dropped as well: the other side learns nothing
                if not chunk:
                    return
                continue
            if not chunk:
                raise ConnectionResetError
            if request:
                self._on_request(chunk)
            writer.write(chunk)
            await writer.drain()

    def _swallows(self, connection: _Connection, *, request: bool) -> bool:
        match self.mode:
            case Mode.SWALLOWED:
                return True
            case Mode.UNANSWERED:
                return not request
            case Mode.STALE:
                return not connection.fresh
        return False


class _Connection:
    """Both halves of a connection through a proxy."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writers = [writer]
        self.lacks_bytes = False
        self.fresh = False
        self.ended = asyncio.Event()

    def add(self, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)

    def reset(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


class Network:
    """The connections of one program to all brokers, by their second listeners."""

    def __init__(self, proxies: Sequence[Proxy]) -> None:
        self._proxies = proxies

    @property
    def bootstrap_servers(self) -> str:
        """Return the bootstrap servers for a program that uses these proxies."""
        return ",".join(proxy.address for proxy in self._proxies)

    async def set(self, mode: Mode) -> None:
        """Treat all data to and from any broker in this way."""
        await asyncio.gather(*(proxy.set(mode) for proxy in self._proxies))


@asynccontextmanager
async def listening(proxies: Sequence[Proxy]) -> AsyncIterator[None]:
    """Run proxies until the context ends."""
    try:
        for proxy in proxies:
            await proxy.start()
        yield
    finally:
        for proxy in proxies:
            await proxy.stop()


@asynccontextmanager
async def to_brokers(cluster: Cluster) -> AsyncIterator[Network]:
    """Yield proxies to all brokers; they must have second listeners."""
    driver = [broker.second_door for broker in cluster.brokers if broker.second_door is not None]
    proxies = [Proxy(door.address, port=door.advertised_port) for door in driver]
    async with listening(proxies):
        yield Network(proxies)
