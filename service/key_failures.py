"""Count and log calls without a valid API key, by client; after some of them a client is told to wait."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from prometheus_client import Counter

log = structlog.get_logger(__name__)

WINDOW_SECONDS = 60.0
MAX_FAILURES = 20
"""How many failures of one client in a window are answered 401; later ones are answered 429."""
MAX_CLIENTS = 10_000
"""How many clients are remembered; beyond that, the one whose window began first is forgotten."""


@dataclass
class _Window:
    ends_at: float
    failures: int = 0


class KeyFailures:
    """Counts the failures of each client in time windows; memory and log lines are bounded."""

    def __init__(self, counter: Counter, monotonic: Callable[[], float], *, max_clients: int = MAX_CLIENTS) -> None:
        self._counter = counter
        self._monotonic = monotonic
        self._max_clients = max_clients
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def note(self, client: str, reason: str) -> int | None:
        """Count a failure of *client*; return how many seconds it must wait, or None if it need not wait."""
        self._counter.labels(reason).inc()
        now = self._monotonic()
        window = self._window(client, now)
        window.failures += 1
        if window.failures <= MAX_FAILURES:
            log.warning("api_key.refused", client=client, reason=reason)
            return None
        if window.failures == MAX_FAILURES + 1:
            log.warning("api_key.client.slowed", client=client, failures=window.failures)
        return max(math.ceil(window.ends_at - now), 1)

    def _window(self, client: str, now: float) -> _Window:
        window = self._windows.get(client)
        if window is None or now >= window.ends_at:
            self._windows.pop(client, None)  # to the end: the order is that in which the windows end
            window = self._windows[client] = _Window(ends_at=now + WINDOW_SECONDS)
            while len(self._windows) > self._max_clients:
                self._windows.popitem(last=False)
        return window
