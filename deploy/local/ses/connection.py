"""Close a connection without an answer, and learn at once when a client closes it. ASGI supports neither.

It is uvicorn's own protocol, and the scope of each request has a reference to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio
    from typing import Any

    from starlette.types import Scope

EXTENSION = "deploy.local.ses.connection"


class Connection(HttpToolsProtocol):
    """An HTTP/1.1 connection that can be dropped, and that releases its delayed requests when it closes."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.waiting: set[asyncio.Future[None]] = set()

    def on_message_begin(self) -> None:
        """Start a request, and put this connection into its scope."""
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"connection": self}}

    def connection_lost(self, exc: Exception | None) -> None:
        """Release delayed requests: there is no client to answer."""
        super().connection_lost(exc)
        for waiting in self.waiting:
            release(waiting)

    def drop(self) -> None:
        """Close without an answer."""
        self.transport.close()


def connection_of(scope: Scope) -> Connection:
    """Return the connection that a request came on."""
    connection: Connection = scope["extensions"][EXTENSION]["connection"]
    return connection


def release(waiting: asyncio.Future[None]) -> None:
    """Complete *waiting*, so that its request continues."""
    if not waiting.done():
        waiting.set_result(None)
