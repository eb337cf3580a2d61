"""A short run of `python -m tests.fuzz batches`."""

from __future__ import annotations

import pytest

from tests.fuzz.batches import fuzz

SECONDS = 3.0


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_lies_between_them_sound_batches_are_read(seed: int) -> None:
    """No bytes stop a reader, lose other records, or take too much memory or time."""
    assert "batches" in fuzz(seed, SECONDS)
