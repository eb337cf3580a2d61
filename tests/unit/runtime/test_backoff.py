"""Backoff: exponential, jittered, bounded."""

from __future__ import annotations

import pytest

from runtime.backoff import backoff_seconds


@pytest.mark.parametrize(
    ("attempt", "longest"), [(1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 30.0), (8, 30.0), (10_000, 30.0)]
)
def test_longest_wait_doubles_up_to_the_ceiling(attempt: int, longest: float) -> None:
    """The longest wait doubles with each attempt, up to the ceiling."""
    assert longest == backoff_seconds(attempt, base=0.5, ceiling=30.0, random=lambda: 1.0)


@pytest.mark.parametrize(("random", "seconds"), [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0)])
def test_jitter_is_full(random: float, seconds: float) -> None:
    """The wait is random between zero and the longest."""
    assert seconds == backoff_seconds(3, base=0.5, ceiling=30.0, random=lambda: random)
