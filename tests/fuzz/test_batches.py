"""The fuzz of batches, bounded."""

from __future__ import annotations

import pytest

from tests.fuzz.batches import fuzz

SECONDS = 3.0


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_lies_between_them_sound_batches_are_read(seed: int) -> None:
    """No bytes stop a reader, cost a neighbour its records, take its memory or its time."""
    assert "batches" in fuzz(seed, SECONDS)
