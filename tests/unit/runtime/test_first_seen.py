"""A bounded memory of what was seen."""

from __future__ import annotations

from runtime.first_seen import FirstSeen


def test_a_thing_is_new_once() -> None:
    """The second time it is not new."""
    seen = FirstSeen(10)

    assert [True, True, False] == [seen.is_new(name) for name in ("a", "b", "a")]


def test_nothing_is_new_beyond_the_limit() -> None:
    """Invented names fill neither the log nor the memory."""
    seen = FirstSeen(2)

    assert [True, True, False, False] == [seen.is_new(name) for name in ("a", "b", "c", "a")]
