"""The position of a record in Kafka, and its written form: topic-partition-offset."""

from __future__ import annotations

import re
from typing import NamedTuple

POSITION_FORM = "([A-Za-z0-9._-]{1,249})-([0-9]{1,6})-([0-9]{1,18})"
"""The written form: topic-partition-offset."""

_WRITTEN = re.compile(POSITION_FORM)


class Position(NamedTuple):
    """A record's position: its topic, its partition and its offset."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """Return the written form."""
        return f"{self.topic}-{self.partition}-{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """
        Return the position that *text* names. A topic's name may have dashes.

        Raises:
            ValueError: if *text* names none. The message does not repeat it.
        """
        found = _WRITTEN.fullmatch(text)
        if found is None:
            raise ValueError("must be topic-partition-offset, such as mentor.pauses.v1-3-1042")
        topic, partition, offset = found.groups()
        return cls(topic, int(partition), int(offset))
