"""How many connections a port accepts, how long each may take, and which is closed first when all places are taken."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)

RESERVED_FILES = 256
"""Open files that the callers' port leaves to the management port, Kafka, logs and libraries."""

_LEAST_CONNECTIONS = 16


@dataclass(frozen=True)
class HttpBounds:
    """The limits of one connection, and of all connections of a port."""

    connections: int = 64
    head_seconds: float = 10.0
    """From the start of a connection, or the first byte of a further request, to the end of the head."""
    idle_seconds: float = 75.0  # longer than load balancers keep idle connections (60 s), so that they close first
    """From a response to the first byte of the next request."""
    write_seconds: float = 30.0
    """How long a client may stop reading a response."""
    linger_seconds: float = 2.0
    """How long a client may take to read a response that came before its request had ended."""
    linger_bytes: int = 16 * 1_048_576
    """How many bytes of such a request are discarded meanwhile."""


def connections_within_files(wanted: int) -> int:
    """Return *wanted*, or as many connections as the limit of open files allows."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY or wanted <= files - RESERVED_FILES:
        return wanted
    allowed = max(files - RESERVED_FILES, _LEAST_CONNECTIONS)
    log.warning("http.connections_capped", wanted=wanted, allowed=allowed, open_files=files)
    return allowed


class Evictable(Protocol):
    """A connection that can be closed for another's sake."""

    def evict(self) -> None:
        """Close without a response; no complete request is waiting for one."""


class Connections:
    """
    The connections of one port, and the bounded number of places for them.

    When all places are taken, the connection that has waited longest for a request is closed: an idle one, a silent
    one, or one whose request does not arrive completely. A connection whose request has arrived is never closed.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._placed: set[Evictable] = set()
        self._waiting: dict[Evictable, None] = {}

    def __len__(self) -> int:
        """Return how many have a place."""
        return len(self._placed)

    def place(self, connection: Evictable) -> bool:
        """Assign a place to a new connection, and return True; return False if there is none."""
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
        """Note that a connection now waits for a complete request."""
        if connection in self._placed:
            self._waiting[connection] = None

    def work(self, connection: Evictable) -> None:
        """Note that a connection's request has arrived."""
        self._waiting.pop(connection, None)

    def leave(self, connection: Evictable) -> None:
        """Free a connection's place, if it has one."""
        self._placed.discard(connection)
        self._waiting.pop(connection, None)
