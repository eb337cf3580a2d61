"""Sets records aside: each durable before its offset may be committed, a flood of one kind as a range."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from consumers.assignment.assignment import Owned
from consumers.delivery.dead_letter_ranges import Kind
from consumers.delivery.writer import Writing
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

    async def __call__(self, owned: Owned, write: Callable[[], Awaitable[Any]]) -> Any:
        """Try *write* until it raises nothing."""


class DeadLetters:
    """Sets aside what is no event, and tells of what cannot be read."""

    def __init__(self, writing: Writing, durably: Durably, clock: Clock, reached: Reached) -> None:
        self._writing = writing
        self._durably = durably
        self._clock = clock
        self._reached = reached

    async def record(
        self, owned: Owned, record: Record, reason: DeadLetterReason | NotAnEventReason, detail: str
    ) -> None:
        """Set a record aside; when this returns it is durable, or a range holds the commit back until it is."""
        await self._set_aside(owned, letter_of(record, reason, detail))

    async def unreadable(self, owned: Owned, passed: Unreadable) -> None:
        """Tell of an unreadable batch; its bytes cannot be had."""
        detail = f"offsets {passed.first} to {passed.next_offset - 1}: {passed.error}"
        await self._missing(owned, passed, DeadLetterReason.UNREADABLE_BATCH, detail)
        self._writing.count_unreadable(passed.place.topic)

    async def deleted(self, owned: Owned, deleted: Deleted) -> None:
        """Tell of records that were deleted before anybody saw them; nothing of them can be had."""
        detail = f"offsets {deleted.first} to {deleted.next_offset - 1} were deleted before they were read"
        await self._missing(owned, deleted, DeadLetterReason.RECORDS_DELETED, detail)
        self._writing.count_unseen(deleted.place.topic, deleted.next_offset - deleted.first)

    async def _missing(
        self, owned: Owned, missing: Unreadable | Deleted, reason: DeadLetterReason, detail: str
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
        await self._set_aside(owned, letter)

    async def _set_aside(self, owned: Owned, letter: DeadLetter) -> None:
        kind = Place(letter.origin.topic, letter.origin.partition), letter.reason
        if owned.ranges.may_write(kind, self._clock.monotonic()):
            await self._write(owned, letter)
        else:
            self._add_to_range(owned, kind, letter)

    def _add_to_range(self, owned: Owned, kind: Kind, letter: DeadLetter) -> None:
        before = owned.ranges.open_range(kind)
        held_at = None if before is None else before.first
        found = owned.ranges.add(kind, letter, self._clock.monotonic())
        if held_at == found.first:
            return
        owned.partition.hold(kind[0], found.first, found.last + 1)
        if held_at is None:
            owned.start(self._write_range(owned, kind))
        else:
            owned.partition.release(kind[0], held_at)

    async def _write_range(self, owned: Owned, kind: Kind) -> None:
        """Write a range once it ends; when the partition is given up before, its next owner reads the records again."""
        while (found := owned.ranges.open_range(kind)) is not None and self._clock.monotonic() < found.ends_at():
            owned.check()
            await self._clock.sleep(_LOOK_AGAIN_SECONDS)
        ended = owned.ranges.close(kind)
        await self._write(owned, ended.letter)
        owned.partition.release(kind[0], ended.first)

    async def _write(self, owned: Owned, letter: DeadLetter) -> None:
        origin = letter.origin
        with owned.passage():
            await self._durably(owned, lambda: self._writing.dead_letter(letter))
            self._reached(Step.DEAD_LETTER_RECORDED, f"{origin.topic}-{origin.partition}-{origin.offset}")
