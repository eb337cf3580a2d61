"""When so many contacts are gone that a person must look: for `doctor`, and for the alert."""

from __future__ import annotations

from datetime import timedelta

FALL_SHARE = 0.2
FALL_WITHIN = timedelta(days=1)
FEWEST_BEFORE = 10
"""Of fewer contacts, one that leaves is a large share."""


def fell(*, gone: int, left: int) -> bool:
    """Return whether those that are *gone* within `FALL_WITHIN` are too many beside those that are *left*."""
    before = gone + left
    return before >= FEWEST_BEFORE and gone > FALL_SHARE * before
