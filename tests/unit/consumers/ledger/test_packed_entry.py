"""What a ledger packs, it unpacks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumers.ledger.packed_entry import MAX_OFFSET, MAX_TOPICS, NOT_KNOWN, PackedEntry

_OFFSETS = st.integers(NOT_KNOWN, MAX_OFFSET)


@given(st.builds(PackedEntry, _OFFSETS, _OFFSETS, st.integers(0, MAX_TOPICS - 1), _OFFSETS, st.integers(0, 2**32 - 1)))
def test_an_entry_survives_packing(entry: PackedEntry) -> None:
    """Every field keeps every value that it may have."""
    assert entry == PackedEntry.unpack(entry.pack())


def test_an_entry_is_thirty_bytes() -> None:
    """Two bytes more would cost sixteen in memory."""
    assert 30 == len(PackedEntry(0, 0, 0, NOT_KNOWN, 0).pack())
