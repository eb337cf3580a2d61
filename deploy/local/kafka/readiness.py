"""Wait until a broker is ready, by asking it with an admin client.

Its log does not tell: with another log configuration the expected line does not come (tried). An open port does not
tell, either: the proxy of a container accepts before the broker listens, and a broker accepts before the controller
knows it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from runtime.kafka.connection import connected_admin
from runtime.kafka.retry import UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import Callable

_POLL_SECONDS = 0.1
_CONNECT_SECONDS = 2.0
_REQUEST_SECONDS = 5.0


async def until_ready(
    address: str, nodes: set[int], *, within: float, still_running: Callable[[], bool] = lambda: True
) -> bool:
    """Wait until the broker at *address* (host:port) answers and lists all of *nodes* as brokers.

    Return False if it does not *within* seconds, or when *still_running* returns False.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            while still_running():
                seen = await _brokers_seen_by(address)
                if seen and nodes <= seen:
                    return True
                await asyncio.sleep(_POLL_SECONDS)
    return False


async def _brokers_seen_by(address: str) -> set[int]:
    if not await _listens(address):  # checked first: the admin client logs an error for every closed port
        return set()
    try:
        async with connected_admin({"bootstrap_servers": address}, deadline_seconds=_REQUEST_SECONDS) as admin:
            described = await admin.describe_cluster()
    except UNAVAILABLE:
        return set()
    return {broker["node_id"] for broker in described["brokers"]}


async def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(host, int(port))
    except OSError:  # TimeoutError is one
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
