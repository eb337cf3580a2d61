"""An HTTP client that sends any bytes, including those that a well-behaved client never sends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from deploy.local.ports import HOST

_SECONDS = 20.0


@dataclass(frozen=True)
class RawAnswer:
    """A response as it was received."""

    status: int
    headers: dict[str, str]
    body: bytes


class Broken(Exception):
    """The connection ended before a complete response had arrived."""


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, *segments: bytes) -> None:
        """Send each segment on its own, as long as the server accepts them."""
        with contextlib.suppress(ConnectionError):
            for segment in segments:
                self._writer.write(segment)
                async with asyncio.timeout(_SECONDS):
                    await self._writer.drain()
                if len(segments) > 1:
                    await asyncio.sleep(0)  # let a server in our own loop read this segment alone

    async def answer(self, method: str = "GET") -> RawAnswer:
        """
        Read one response, of known length or in chunks.

        Raises:
            Broken: The connection ended before the response was complete.
        """
        try:
            async with asyncio.timeout(_SECONDS):
                return await self._answer(method)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Broken from error

    async def _answer(self, method: str) -> RawAnswer:
        head = await self._reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert "HTTP/1.1" == version
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if status == "100":
            return RawAnswer(int(status), headers, b"")
        return RawAnswer(int(status), headers, b"" if method == "HEAD" else await self._body(headers))

    async def _body(self, headers: dict[str, str]) -> bytes:
        if "content-length" in headers:
            return await self._reader.readexactly(int(headers["content-length"]))
        body = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            body += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return body

    async def rest(self) -> bytes:
        """Return everything until the server closes; nothing after a reset."""
        async with asyncio.timeout(_SECONDS):
            with contextlib.suppress(ConnectionError):
                return await self._reader.read()
        return b""

    async def ask(self, *segments: bytes) -> RawAnswer:
        """Send, and read one response."""
        await self.send(*segments)
        return await self.answer()

    async def close(self) -> None:
        """Close at once."""
        self._writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


@asynccontextmanager
async def wire(port: int) -> AsyncIterator[Wire]:
    """Open a connection to a port of this machine, and close it at the end."""
    opened = Wire(*await asyncio.open_connection(HOST, port))
    try:
        yield opened
    finally:
        await opened.close()


async def ask(port: int, *segments: bytes) -> RawAnswer:
    """Send on a new connection, and read one response."""
    async with wire(port) as opened:
        return await opened.ask(*segments)


def head(line: str, *headers: str, host: Sequence[str] = ("Host: facade",)) -> bytes:
    """Return the head of a request."""
    return "\r\n".join([line, *host, *headers, "", ""]).encode("latin-1")
