"""How long to wait before the next attempt."""

from __future__ import annotations

from collections.abc import Callable

_MAX_DOUBLINGS = 64  # beyond any ceiling, and small enough for a float


def backoff_seconds(attempt: int, *, base: float, ceiling: float, random: Callable[[], float]) -> float:
    """
    Return the seconds to wait after failed *attempt* (the first is 1): exponential with full jitter.

    Every wait from zero to `base * 2 ** (attempt - 1)`, at most *ceiling*, is equally likely. So those who failed at
    the same moment do not come back at the same moment. *random* returns numbers in [0, 1).
    """
    doublings = min(max(attempt - 1, 0), _MAX_DOUBLINGS)
    return random() * min(ceiling, base * 2.0**doublings)
