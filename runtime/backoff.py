"""How long to wait before trying again."""

from __future__ import annotations

from collections.abc import Callable

_MAX_DOUBLINGS = 64  # any ceiling is reached long before; keeps the power within a float


def backoff_seconds(attempt: int, *, base: float, ceiling: float, random: Callable[[], float]) -> float:
    """
    Return the seconds to wait after failed *attempt* (the first is 1): exponential with full jitter.

    Any wait between none and `base * 2 ** (attempt - 1)`, at most *ceiling*, is equally likely, so that many who
    failed at once do not come back at once. *random* gives numbers in [0, 1).
    """
    doublings = min(max(attempt - 1, 0), _MAX_DOUBLINGS)
    return random() * min(ceiling, base * 2.0**doublings)
