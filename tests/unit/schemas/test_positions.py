"""Positions: written and read in one form."""

from __future__ import annotations

import pytest

from schemas.positions import Position


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("mentor.pauses.v1-3-1042", Position("mentor.pauses.v1", 3, 1042)),
        ("t-1.pause-notifications.dead-letters.v1-0-0", Position("t-1.pause-notifications.dead-letters.v1", 0, 0)),
        (f"{'t' * 249}-999999-{10**18 - 1}", Position("t" * 249, 999_999, 10**18 - 1)),
    ],
)
def test_a_position_is_read_as_it_is_written(text: str, position: Position) -> None:
    """A topic's name may have dashes."""
    assert position == Position.parse(text)
    assert text == str(position)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "t",
        "t-1",
        "-1-2",
        "t-1-",
        "t--1-2x",
        "t-x-2",
        "t-1-\u0663",
        "t 1-2-3",
        f"t-1-{10**18}",
        "t-1000000-1",
        "t-1-2\n",
    ],
)
def test_other_text_is_refused(text: str) -> None:
    """A caller may write anything."""
    with pytest.raises(ValueError, match="topic-partition-offset"):
        Position.parse(text)
