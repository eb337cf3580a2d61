"""Read a request's body and write a reply in plain ASGI, because sends must cost almost no CPU."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from starlette.types import Receive, Send

Headers = list[tuple[bytes, bytes]]

JSON_TYPE = (b"content-type", b"application/json")
REQUEST_BYTES = 64 * 1024 * 1024  # a 40 MB message, and what JSON escapes add


class Reply(NamedTuple):
    """A complete HTTP response, except its length."""

    status: int
    headers: Headers
    body: bytes


class Disconnected(Exception):
    """The client disconnected before its request was complete."""


def json_reply(value: Any, status: int = 200, headers: Headers | None = None) -> Reply:
    """Return a reply with *value* as JSON."""
    return Reply(status, [JSON_TYPE, *(headers or [])], json.dumps(value).encode("ascii"))


async def read_body(receive: Receive) -> bytes:
    """Return the request's body, cut off after REQUEST_BYTES; raise Disconnected."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return bytes(message.get("body", b""))  # the usual case: one piece

    pieces, length = [], 0
    while message["type"] == "http.request":
        if length <= REQUEST_BYTES:  # the rest is read and dropped, so that the client gets the answer
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
