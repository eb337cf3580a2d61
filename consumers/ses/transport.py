"""Requests to SES over aiohttp's connections: its pool, TLS, proxies and parser, but no session of it."""

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
    """The body of a request, and whether any of it may have left; until then SES has accepted nothing."""

    body: bytes
    may_have_left: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """A response, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """
    Sends POST requests to one endpoint. Construct it inside a running event loop.

    Connections, proxies, TLS and the parsing of responses are aiohttp's; requests are written here, since building one
    in aiohttp's session takes longer than everything else in a send (`docs/decisions/0008-ses-transport.md`). A request
    is sent once, whatever happens to its connection, and no redirect is followed.
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
        self._target = aiohttp.ClientRequest(
            "POST", url, loop=loop, proxy=proxy
        )  # never sent: it names the place to connect to
        self._through_proxy = (
            proxy is not None and not self._target.is_ssl()
        )  # RFC 9112, 3.2.2: the request line then names the host
        self._head = _line("POST", str(url) if self._through_proxy else url.raw_path_qs, "HTTP/1.1") + _lines(headers)
        self._connector = aiohttp.TCPConnector(limit=max_in_flight, keepalive_timeout=idle_seconds, ssl=endpoint.tls)
        # The sender holds the deadline, which includes credentials; aiohttp would round its own up to whole seconds.
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_seconds, ceil_threshold=_NO_DEADLINE)

    def head(self, headers: Mapping[str, str]) -> bytes:
        """Return the head of a request without its length. Raise ValueError for an invalid header."""
        return (self._head + _lines(headers)).encode("ascii")

    async def post(self, head: bytes, outgoing: Outgoing) -> Response:
        """
        Send a request and return the response.

        Raises:
            aiohttp.ClientError, OSError: *outgoing* says whether the request may have left.
        """
        try:
            connection = await self._connector.connect(self._target, [], self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error
        try:
            response = await self._exchange(connection.protocol, head, outgoing)
        except BaseException:
            _drop(connection)
            raise
        if connection.transport is not None and connection.transport.get_write_buffer_size():
            _drop(connection)  # answered early: the rest of this body would precede the next request
        else:
            connection.release()  # closes it if the response says so
        return response

    async def _exchange(self, protocol: ResponseHandler | None, head: bytes, outgoing: Outgoing) -> Response:
        if protocol is None or protocol.transport is None or protocol.transport.is_closing() or protocol.should_close:
            raise aiohttp.ClientConnectionResetError(
                "the server closed it, or sent something unasked, before the request"
            )
        if self._through_proxy and (proof := self._target.headers.get("Proxy-Authorization")):
            head += _lines({"Proxy-Authorization": proof}).encode()
        request = b"%bContent-Length: %d\r\n\r\n%b" % (head, len(outgoing.body), outgoing.body)
        protocol.set_response_params(read_until_eof=True)
        outgoing.may_have_left = True
        protocol.transport.write(request)
        try:
            message, content = await protocol.read()
            while message.code < HTTPStatus.OK:  # RFC 9110, 15.2: interim responses
                if message.code == HTTPStatus.SWITCHING_PROTOCOLS:
                    raise aiohttp.ClientPayloadError("a switch of protocols that nobody asked for")
                message, content = await protocol.read()
            return Response(message.code, message.headers, await content.read())
        except HttpProcessingError as error:
            raise aiohttp.ClientPayloadError("the response is not HTTP") from error

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connector.close()


def _drop(connection: Connection) -> None:
    """Close a connection at once; a plain close would first send the rest, to a server that may not read it."""
    if connection.transport is not None:
        connection.transport.abort()
    connection.close()


def _line(*words: str) -> str:
    return f"{' '.join(words)}\r\n"


def _lines(headers: Mapping[str, str]) -> str:
    """Return the lines of *headers*. Raise ValueError for a value that would start another line."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        raise ValueError("a header contains a line break")
    return lines
