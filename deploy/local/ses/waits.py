"""Delay answers until a time is over, the client disconnects or the server stops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from deploy.local.ses.connection import release

if TYPE_CHECKING:
    from deploy.local.ses.connection import Connection


class Waits:
    """All delayed requests."""

    def __init__(self) -> None:
        self._open: set[asyncio.Future[None]] = set()
        self._are_over = False

    @property
    def are_over(self) -> bool:
        """Whether a shutdown has started."""
        return self._are_over

    async def hold(self, connection: Connection, seconds: float | None) -> None:
        """Wait *seconds*, or without limit for None, but only as long as the connection and the server exist."""
        if self._are_over:
            return

        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, release, waiting)
        self._open.add(waiting)
        connection.waiting.add(waiting)
        try:
            await waiting
        finally:
            connection.waiting.discard(waiting)
            self._open.discard(waiting)
            if timer:
                timer.cancel()

    def end_all(self) -> None:
        """Release all delayed requests, and delay none from now on."""
        self._are_over = True
        for waiting in self._open:
            release(waiting)
