"""Notice when a caller hangs up while it waits for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from starlette.types import Receive

log = structlog.get_logger(__name__)

_DISCONNECT = "http.disconnect"


@asynccontextmanager
async def on_hang_up(receive: Receive, hung_up: Callable[[], None]) -> AsyncIterator[None]:
    """
    Call *hung_up* once if the client of a request disconnects while the context lasts.

    The request's body must have been read before: whatever else *receive* returns is dropped.
    """

    async def watch() -> None:
        while (await receive())["type"] != _DISCONNECT:
            pass
        hung_up()

    watching = asyncio.create_task(watch(), name="watch-for-hang-up")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        if not watching.cancelled() and (error := watching.exception()) is not None:
            log.error("call.watch.failed", exc_info=error)  # the event may be durable: the answer stays true
