"""A list of CloudEvents sources, by name or by pattern."""

from __future__ import annotations

import fnmatch
import re

MAX_NAMES = 100
"""The most entries of a list."""
ALLOWED = f"sources, separated by commas, at most {MAX_NAMES}; `*` stands for any characters"
_ONLY_STARS = re.compile(r"[?[]")  # what fnmatch would read as a pattern, too


class SourceNames:
    """
    The sources that a list names. Case counts.

    Raises:
        ValueError: An entry is empty, or there are too many.
    """

    def __init__(self, text: str) -> None:
        names = [name.strip() for name in text.split(",")]
        if not all(names):
            raise ValueError("must not have an empty entry")
        if len(names) > MAX_NAMES:
            raise ValueError(f"must have at most {MAX_NAMES} entries")
        # Translated patterns never go back: a stranger's source cannot make many `*` cost seconds.
        patterns = (fnmatch.translate(_ONLY_STARS.sub(r"[\g<0>]", name)) for name in names)
        self._pattern = re.compile("|".join(patterns))

    def __contains__(self, source: object) -> bool:
        """Return whether the list names a source."""
        return isinstance(source, str) and self._pattern.fullmatch(source) is not None
