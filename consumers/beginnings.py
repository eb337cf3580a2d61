"""Where an assignment begins in each place: a decision from what was committed and what the log holds."""

from __future__ import annotations

from dataclasses import dataclass

from consumers.group import Committed


@dataclass(frozen=True)
class Beginning:
    """The first offset to be taken in a place, and what is wrong with what was committed there."""

    offset: int
    committed: bool = False
    """Whether everything before the offset was seen by this group: otherwise it may have been sent by anybody."""
    deleted: int = 0
    """How many records before the offset were deleted before anybody saw them."""
    wrong: str | None = None
    """Why the committed offset is not one of this log, if it is not."""

    @property
    def seen_up_to(self) -> int:
        """Return the first offset of which nothing was told yet."""
        return self.offset - self.deleted


def beginning(committed: Committed | None, *, topic_id: str | None, first: int, end: int) -> Beginning:
    """
    Decide where to begin in a log that holds the offsets from *first* to before *end*.

    A committed offset counts for the topic that it was committed for. When ids are not known, only an offset beyond the
    end shows that it was another topic's.
    """
    if committed is None:
        return Beginning(first)
    known = topic_id is not None and committed.topic_id is not None
    if known and topic_id != committed.topic_id:
        return Beginning(first, wrong="it was committed for an earlier topic of this name")
    if committed.offset > end and not known:
        return Beginning(first, wrong="it lies beyond the end")
    if committed.offset > end:
        return Beginning(end, committed=True, wrong="the log lost its end")
    if committed.offset < first:
        return Beginning(first, committed=True, deleted=first - committed.offset)
    return Beginning(committed.offset, committed=True)
