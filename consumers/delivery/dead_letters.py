"""Sets records aside: each durable before its offset may be committed, a flood of one kind as a range."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from consumers.assignment.assignment import Assignment
from consumers.delivery.dead_letter_ranges import Kind
from consumers.delivery.writer import Writer
from consumers.steps import Reached, Step
from runtime.clock import Clock
from runtime.kafka.fetching import Deleted, Unreadable
from runtime.kafka.records import Place, Record
from schemas.cloudevents import NotAnEventReason
from schemas.dead_letters import DeadLetter, DeadLetterReason
from schemas.dispatch import Dispatch, Origin

_LOOK_AGAIN_SECONDS = 0.25


def letter_of(
    record: Record,
    reason: DeadLetterReason | NotAnEventReason,
    detail: str = "",
    *,
    dispatch: Dispatch | None = None,
) -> DeadLetter:
    """Return the dead letter of one record."""
    return DeadLetter(reason, record.origin, record.key, record.value, record.headers, detail, dispatch)


class Durably(Protocol):
    """Writes until it is durable."""

    async def __call__(self, assignment: Assignment, write: Callable[[], Awaitable[Any]]) -> Any:
        """Try *write* until it raises nothing."""


class DeadLetters:
    """Sets aside what is no event, and tells of what cannot be read."""

    def __init__(self, writer: Writer, durably: Durably, clock: Clock, reached: Reached) -> None:
        self._writer = writer
        self._durably = durably
        self._clock = clock
        self._reached = reached

    async def record(
        self, assignment: Assignment, record: Record, reason: DeadLetterReason | NotAnEventReason, detail: str
    ) -> None:
        """Set a record aside; when this returns it is durable, or a range holds the commit back until it is."""
        await self._set_aside(assignment, letter_of(record, reason, detail))

    async def unreadable(self, assignment: Assignment, passed: Unreadable) -> None:
        """Tell of an unreadable batch; its bytes cannot be had."""
        detail = f"offsets {passed.first} to {passed.next_offset - 1}: {passed.error}"
        await self._missing(assignment, passed, DeadLetterReason.UNREADABLE_BATCH, detail)
        self._writer.count_unreadable(passed.place.topic)

    async def deleted(self, assignment: Assignment, deleted: Deleted) -> None:
        """Tell of records that were deleted before anybody saw them; nothing of them can be had."""
        detail = f"offsets {deleted.first} to {deleted.next_offset - 1} were deleted before they were read"
        await self._missing(assignment, deleted, DeadLetterReason.RECORDS_DELETED, detail)
        self._writer.count_unseen(deleted.place.topic, deleted.next_offset - deleted.first)

    async def _missing(
        self, assignment: Assignment, missing: Unreadable | Deleted, reason: DeadLetterReason, detail: str
    ) -> None:
        place, first, behind = missing.place, missing.first, missing.next_offset
        now = self._clock.now()
        origin = Origin(topic=place.topic, partition=place.partition, offset=first, appended_at=now)
        letter = DeadLetter(
            reason,
            origin,
            key=None,
            value=None,
            headers=[],
            detail=detail,
            last_offset=behind - 1,
            records=behind - first,
        )
        await self._set_aside(assignment, letter)

    async def _set_aside(self, assignment: Assignment, letter: DeadLetter) -> None:
        kind = Place(letter.origin.topic, letter.origin.partition), letter.reason
        if assignment.ranges.may_write(kind, self._clock.monotonic()):
            await self._write(assignment, letter)
        else:
            self._add_to_range(assignment, kind, letter)

    def _add_to_range(self, assignment: Assignment, kind: Kind, letter: DeadLetter) -> None:
        before = assignment.ranges.open_range(kind)
        held_at = None if before is None else before.first
        found = assignment.ranges.add(kind, letter, self._clock.monotonic())
        if held_at == found.first:
            return
        assignment.lanes.hold(kind[0], found.first, found.last + 1)
        if held_at is None:
            assignment.start(self._write_range(assignment, kind))
        else:
            assignment.lanes.release(kind[0], held_at)

    async def _write_range(self, assignment: Assignment, kind: Kind) -> None:
        """Write a range once it ends; when the partition is given up before, its next owner reads the records again."""
        while (found := assignment.ranges.open_range(kind)) is not None and self._clock.monotonic() < found.ends_at():
            assignment.check()
            await self._clock.sleep(_LOOK_AGAIN_SECONDS)
        ended = assignment.ranges.close(kind)
        await self._write(assignment, ended.letter)
        assignment.lanes.release(kind[0], ended.first)

    async def _write(self, assignment: Assignment, letter: DeadLetter) -> None:
        with assignment.uninterruptible():
            await self._durably(assignment, lambda: self._writer.dead_letter(letter))
            self._reached(Step.DEAD_LETTER_RECORDED, str(letter.origin.position))
