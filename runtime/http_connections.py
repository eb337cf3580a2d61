"""How many connections a port has, how long each may take, and which goes first when there is no place left."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)

RESERVED_FILES = 256
"""Open files that a port for callers leaves alone: the management port's connections, Kafka's, logs, libraries."""

_LEAST_CONNECTIONS = 16


@dataclass(frozen=True)
class HttpBounds:
    """What one connection and all of a port's connections may take."""

    connections: int = 64
    head_seconds: float = 10.0
    """From a connection's begin, or the first byte of a further request, to the end of the head."""
    idle_seconds: float = 75.0  # longer than load balancers keep theirs (60 s), so that they close first
    """From an answer to the first byte of the next request."""
    write_seconds: float = 30.0
    """For a client to read on when it has stopped reading an answer."""
    linger_seconds: float = 2.0
    """For a client to hear an answer that came before its request had ended."""
    linger_bytes: int = 16 * 1_048_576
    """Bytes of such a request that are thrown away meanwhile."""


def connections_within_files(wanted: int) -> int:
    """Return *wanted*, or as many connections as the limit of open files leaves room for."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY or wanted <= files - RESERVED_FILES:
        return wanted
    allowed = max(files - RESERVED_FILES, _LEAST_CONNECTIONS)
    log.warning("http.connections_capped", wanted=wanted, allowed=allowed, open_files=files)
    return allowed


class Evictable(Protocol):
    """A connection that can be asked to go."""

    def evict(self) -> None:
        """Close without an answer; no whole request has come that is not answered."""


class Connections:
    """
    The connections of one port, each of which has a place, and a bounded number of places.

    When all are taken, the connection that has waited longest for a request goes: an idle one, a silent one, or one
    whose request does not arrive whole. One whose request has arrived is never closed for another's sake.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._placed: set[Evictable] = set()
        self._waiting: dict[Evictable, None] = {}

    def __len__(self) -> int:
        """Return how many have a place."""
        return len(self._placed)

    def place(self, connection: Evictable) -> bool:
        """Find a place for a new connection; return whether there was one."""
        if len(self._placed) >= self._limit:
            oldest = next(iter(self._waiting), None)
            if oldest is None:
                return False
            self.leave(oldest)
            oldest.evict()
        self._placed.add(connection)
        self._waiting[connection] = None
        return True

    def wait(self, connection: Evictable) -> None:
        """Note that a connection waits for a whole request, from now on."""
        if connection in self._placed:
            self._waiting[connection] = None

    def work(self, connection: Evictable) -> None:
        """Note that a connection's request has arrived."""
        self._waiting.pop(connection, None)

    def leave(self, connection: Evictable) -> None:
        """Free a connection's place, if it has one."""
        self._placed.discard(connection)
        self._waiting.pop(connection, None)
