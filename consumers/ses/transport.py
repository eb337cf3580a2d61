"""Keep-alive connections to SES: aiohttp's pool, TLS, proxies and parser, with requests of the one shape we send."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from consumers.ses.endpoint import Endpoint

_NO_DEADLINE = float("inf")


@dataclass(slots=True)
class Outgoing:
    """A request's body, and whether any of it may have left: without it SES has accepted nothing."""

    body: bytes
    left: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Pool:
    """
    Posts to one endpoint. Make it where a loop runs.

    aiohttp's session makes out each request and answer anew, which takes longer than all else that a send does
    (60 of 100 microseconds). Ours differ in a few headers and the body, so that they are written here; connections,
    proxies, TLS and the reading of answers remain aiohttp's. A request is sent once, whatever becomes of its
    connection, and no redirect is followed.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        headers: Mapping[str, str],
        *,
        max_in_flight: int,
        idle_seconds: float,
        connect_seconds: float,
    ) -> None:
        url = URL(endpoint.url, encoded=True)
        proxy = None if endpoint.proxy is None else URL(endpoint.proxy)
        loop = asyncio.get_running_loop()
        self._where = aiohttp.ClientRequest("POST", url, loop=loop, proxy=proxy)  # never sent: it says where to
        self._by_proxy = proxy is not None and not self._where.is_ssl()  # RFC 9112, 3.2.2: such one is told the host
        self._head = _line("POST", str(url) if self._by_proxy else url.raw_path_qs, "HTTP/1.1") + _lines(headers)
        self._connector = aiohttp.TCPConnector(limit=max_in_flight, keepalive_timeout=idle_seconds, ssl=endpoint.tls)
        # A deadline is held outside, over credentials too; aiohttp's would be rounded up to whole seconds.
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_seconds, ceil_threshold=_NO_DEADLINE)

    def head(self, headers: Mapping[str, str]) -> bytes:
        """Write the head of a request but for its length; raises ValueError for a header that is none."""
        return (self._head + _lines(headers)).encode("ascii")

    async def post(self, head: bytes, outgoing: Outgoing) -> Answer:
        """
        Send a request and give the answer to it.

        Raises:
            aiohttp.ClientError, OSError: *outgoing* knows whether it may have left.
        """
        try:
            connection = await self._connector.connect(self._where, [], self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error
        try:
            answer = await self._over(connection.protocol, head, outgoing)
        except BaseException:
            _drop(connection)
            raise
        if connection.transport is not None and connection.transport.get_write_buffer_size():
            _drop(connection)  # answered before it was read: the rest would go before the next request
        else:
            connection.release()  # which closes it where the answer says so
        return answer

    async def _over(self, protocol: ResponseHandler | None, head: bytes, outgoing: Outgoing) -> Answer:
        if protocol is None or protocol.transport is None or protocol.transport.is_closing() or protocol.should_close:
            raise aiohttp.ClientConnectionResetError("the server closed it, or spoke unasked, before anything was sent")
        if self._by_proxy and (proof := self._where.headers.get("Proxy-Authorization")):
            head += _lines({"Proxy-Authorization": proof}).encode()
        request = b"%bContent-Length: %d\r\n\r\n%b" % (head, len(outgoing.body), outgoing.body)
        protocol.set_response_params(read_until_eof=True)
        outgoing.left = True
        protocol.transport.write(request)
        try:
            message, content = await protocol.read()
            while message.code < HTTPStatus.OK:  # RFC 9110, 15.2: the answer proper comes after those
                if message.code == HTTPStatus.SWITCHING_PROTOCOLS:
                    raise aiohttp.ClientPayloadError("another protocol, which nobody asked for")
                message, content = await protocol.read()
            return Answer(message.code, message.headers, await content.read())
        except HttpProcessingError as error:
            raise aiohttp.ClientPayloadError("the answer is no HTTP") from error

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connector.close()


def _drop(connection: Connection) -> None:
    """Close it at once: a mere close would go on sending what has not left yet, to a server that may not read it."""
    if connection.transport is not None:
        connection.transport.abort()
    connection.close()


def _line(*words: str) -> str:
    return f"{' '.join(words)}\r\n"


def _lines(headers: Mapping[str, str]) -> str:
    """Write headers; raises ValueError for one that would begin another."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        raise ValueError("a header holds the end of a line")
    return lines
