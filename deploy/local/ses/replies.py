"""Reading a request's body and writing a reply, on bare ASGI: the send path must cost next to nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from starlette.types import Receive, Send

Headers = list[tuple[bytes, bytes]]

JSON_TYPE = (b"content-type", b"application/json")
REQUEST_BYTES = 64 * 1024 * 1024  # a 40 MB message and what JSON's escapes add to it


class Reply(NamedTuple):
    """A whole HTTP answer but its length."""

    status: int
    headers: Headers
    body: bytes


class Disconnected(Exception):
    """The client is gone before its request has arrived whole."""


def json_reply(value: Any, status: int = 200, headers: Headers | None = None) -> Reply:
    """Make a reply of *value* as JSON."""
    return Reply(status, [JSON_TYPE, *(headers or [])], json.dumps(value).encode("ascii"))


async def read_body(receive: Receive) -> bytes:
    """Return the request's body, cut where it is longer than REQUEST_BYTES; raises Disconnected."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return bytes(message.get("body", b""))  # nearly always: one piece

    pieces, length = [], 0
    while message["type"] == "http.request":
        if length <= REQUEST_BYTES:  # the rest is read and let go, so that the client hears the answer
            pieces.append(message.get("body", b""))
        length += len(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)
        message = await receive()
    raise Disconnected


async def write_reply(send: Send, reply: Reply) -> None:
    """Send *reply*."""
    length = (b"content-length", b"%d" % len(reply.body))
    await send({"type": "http.response.start", "status": reply.status, "headers": [*reply.headers, length]})
    await send({"type": "http.response.body", "body": reply.body})
