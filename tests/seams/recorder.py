"""An HTTP server that records requests and sends prepared answers; it can also be a proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ACCEPTED = b'HTTP/1.1 200 OK\r\ncontent-length: 19\r\n\r\n{"MessageId": "m1"}'


@dataclass(frozen=True)
class Request:
    """A received request; the names of headers are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    def authorization(self) -> dict[str, str]:
        """Return Credential, SignedHeaders and Signature."""
        parts = self.headers["authorization"].removeprefix("AWS4-HMAC-SHA256 ").split(", ")
        return dict(part.split("=", 1) for part in parts)

    def signed_by_botocore(self, key_id: str, secret: str) -> str:
        """Return botocore's signature of the request, with the time and scope that it names."""
        _, _, region, service, _ = self.authorization()["Credential"].split("/")
        auth = SigV4Auth(Credentials(key_id, secret), service, region)
        request = self._as_signed()
        return str(auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request))

    def canonical(self) -> list[str]:
        """Return the lines of botocore's canonical request, without the hash of the body at the end."""
        auth = SigV4Auth(Credentials("", ""), "", "")
        return str(auth.canonical_request(self._as_signed())).splitlines()[:-1]

    def _as_signed(self) -> AWSRequest:
        names = self.authorization()["SignedHeaders"].split(";")
        signed = {name: self.headers[name] for name in names}
        request = AWSRequest(self.method, f"http://{self.headers['host']}{self.target}", headers=signed, data=self.body)
        request.context["timestamp"] = self.headers["x-amz-date"]
        return request


def time_of(request: Request) -> datetime:
    """Return the time of signing that a request names."""
    return datetime.strptime(request.headers["x-amz-date"] + "+0000", "%Y%m%dT%H%M%SZ%z")


class Recorder:
    """Records requests, and answers each with *answer*; an empty answer closes the connection."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.requests: list[Request] = []
        self.connections = 0
        self.answer: Callable[[Request], bytes] = lambda _: ACCEPTED
        self._open: set[asyncio.StreamWriter] = set()

    def hang_up(self) -> None:
        """Close all connections."""
        for writer in self._open:
            writer.close()

    def send_unasked(self, data: bytes) -> None:
        """Write *data* to all connections."""
        for writer in self._open:
            writer.write(data)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        self.connections += 1
        self._open.add(writer)
        try:
            while True:
                request = await _read(reader)
                self.requests.append(request)
                answer = self.answer(request)
                writer.write(answer)
                if not answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)


@asynccontextmanager
async def recording() -> AsyncIterator[Recorder]:
    """Run a recorder."""
    recorder: Recorder | None = None

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert recorder is not None
        await recorder.serve(reader, writer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        recorder = Recorder(server.sockets[0].getsockname()[1])
        yield recorder
        recorder.hang_up()
