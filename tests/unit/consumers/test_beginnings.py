"""Where an assignment begins."""

from __future__ import annotations

import pytest

from consumers.beginnings import Beginning, beginning
from consumers.group import Committed

OURS, OTHER = "id-1", "id-2"
ANOTHER = "it was committed for an earlier topic of this name"
BEYOND = "it lies beyond the end"


@pytest.mark.parametrize(
    ("committed", "topic_id", "expected"),
    [
        (None, OURS, Beginning(10)),
        (Committed(50, OURS), OURS, Beginning(50, committed=True)),
        (Committed(100, OURS), OURS, Beginning(100, committed=True)),
        (Committed(4, OURS), OURS, Beginning(10, committed=True, deleted=6)),
        (Committed(101, OURS), OURS, Beginning(100, committed=True, wrong="the log lost its end")),
        (Committed(50, OTHER), OURS, Beginning(10, wrong=ANOTHER)),
        (Committed(4, OTHER), OURS, Beginning(10, wrong=ANOTHER)),
        (Committed(101, OTHER), OURS, Beginning(10, wrong=ANOTHER)),
        (Committed(50), OURS, Beginning(50, committed=True)),
        (Committed(50, OURS), None, Beginning(50, committed=True)),
        (Committed(4), OURS, Beginning(10, committed=True, deleted=6)),
        (Committed(101), OURS, Beginning(10, wrong=BEYOND)),
        (Committed(101, OURS), None, Beginning(10, wrong=BEYOND)),
    ],
)
def test_where_to_begin(committed: Committed | None, topic_id: str | None, expected: Beginning) -> None:
    """In a log from 10 to before 100: where this topic was committed, else at its beginning."""
    assert expected == beginning(committed, topic_id=topic_id, first=10, end=100)


def test_what_was_seen() -> None:
    """Records that were deleted lie before the beginning, and were not seen."""
    assert 4 == Beginning(10, committed=True, deleted=6).seen_up_to
