"""What ASGI has no word for: closing a connection without an answer, and hearing at once that it is closed.

uvicorn's own protocol, of which each request gets a handle.
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
    """An HTTP/1.1 connection that can be dropped, and that ends what waits on it."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.waiting: set[asyncio.Future[None]] = set()

    def on_message_begin(self) -> None:
        """Begin a request and give its scope the handle."""
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"connection": self}}

    def connection_lost(self, exc: Exception | None) -> None:
        """End what waits: there is nobody left to answer."""
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
    """Let go on who awaits *waiting*."""
    if not waiting.done():
        waiting.set_result(None)
