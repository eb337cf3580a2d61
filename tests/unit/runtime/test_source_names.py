"""Lists of sources: names and patterns."""

from __future__ import annotations

import pytest

from runtime.source_names import MAX_NAMES, SourceNames


@pytest.mark.parametrize(
    ("text", "source", "named"),
    [
        ("/hr/reminders", "/hr/reminders", True),
        ("/hr/reminders", "/hr/reminders/night", False),
        ("/hr/reminders", "/HR/reminders", False),
        ("/hr/*", "/hr/reminders/night", True),
        ("/hr/*", "/other/hr/", False),
        ("*bulk*", "urn:bulk:1", True),
        ("/a, /b", "/b", True),
        ("/a.c", "/abc", False),
        ("/a*,/b", "/x/b", False),
    ],
)
def test_a_list_names_sources(text: str, source: str, *, named: bool) -> None:
    """A name is the whole source; only `*` stands for other characters."""
    assert named == (source in SourceNames(text))


@pytest.mark.parametrize("text", ["", "/a,,/b", "/a,", ",".join(["/a"] * (MAX_NAMES + 1))])
def test_an_empty_or_endless_list_is_refused(text: str) -> None:
    """An empty entry is a mistake in writing, and each entry costs time for every event."""
    with pytest.raises(ValueError, match="must"):
        SourceNames(text)
