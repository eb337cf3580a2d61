"""Which records of a place have waited for a minute."""

from __future__ import annotations

from consumers.assignment.overdue import Overdue


def test_what_was_seen_a_minute_ago_is_overdue_once() -> None:
    """Each offset is overdue at one look, at the first that is a minute after it was seen."""
    overdue = Overdue(10)
    looks = [overdue.look(end, now) for end, now in ((12, 0), (15, 30), (15, 59), (15, 60), (20, 90), (20, 149))]

    assert [range(10, 10)] * 3 + [range(10, 12), range(12, 15), range(15, 15)] == looks


def test_what_was_there_at_first_never_is() -> None:
    """A former owner may have counted it."""
    overdue = Overdue(10)
    overdue.look(12, 0)
    overdue.look(12, 60)

    assert [False, True, True, False] == [offset in overdue for offset in (9, 10, 11, 12)]


def test_a_look_that_lags_behind_changes_nothing() -> None:
    """One broker may answer with an earlier end than another."""
    overdue = Overdue(10)
    ends = [overdue.look(end, now) for end, now in ((12, 0), (11, 5), (12, 10), (12, 200))]

    assert [0, 0, 0, 2] == [len(found) for found in ends]
