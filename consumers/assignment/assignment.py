"""A partition number while this replica owns it: its lanes at work, its ledger, and its revocation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import structlog

from consumers.assignment.lanes import Lanes
from consumers.assignment.overdue import Overdue
from consumers.delivery.dead_letter_ranges import Ranges
from consumers.ledger.ledger import Ledger
from runtime.clock import Clock
from runtime.kafka.records import Place, Record

log = structlog.get_logger(__name__)

_CANCEL_AGAIN_SECONDS = 0.2
_FAILED_LANE_SECONDS = 5.0


class Revoked(Exception):
    """The partition was revoked: the next owner processes what is unfinished."""


class LeftInLog(Exception):
    """The source of a record is held: it stays in the log, and its lane with it."""


class Failed(StrEnum):
    """What an unexpected error ended: a stable code, and the label of a metric."""

    RECORD = "record"
    """A try of the record at the head of a lane: its lane tries it again."""
    PARTITION = "partition"
    """Other work of the partition, such as reading its ledger: it is done again when the partition is opened anew."""


class Assignment:
    """
    One assignment of one partition number.

    A lane may be cancelled at any await, but not inside `uninterruptible`, between the gate and the durable result:
    that is cancelled at the drain's deadline alone.
    """

    def __init__(
        self,
        number: int,
        ledger: Ledger,
        clock: Clock,
        process: Callable[[Record, Assignment], Awaitable[None]],
        on_progress: Callable[[], None],
        on_failure: Callable[[Failed], None] = lambda _: None,
    ) -> None:
        self.number = number
        self.ledger = ledger
        self.lanes = Lanes()
        self.ranges = Ranges()
        self.open = False
        """Whether lanes may work: the ledger is read to its end, and so are contacts and the other tables."""
        self.opened_at = clock.monotonic()
        self.feedback: tuple[Place, int] | None = None
        """The place of its feedback, and where that ended when it was opened."""
        self.closing = False
        self.gone = False
        """Whether another replica may own it by now: then nothing more may be sent for it."""
        self._clock = clock
        self._process = process
        self._on_progress = on_progress
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[None]] = set()
        self._uninterruptible: set[asyncio.Task[Any]] = set()
        self._taken_at: dict[tuple[str, int], float] = {}
        self._begun: set[tuple[str, int]] = set()
        """The unfinished records whose processing has begun."""
        self._overdue: dict[Place, Overdue] = {}

    @property
    def admitting(self) -> bool:
        """Return whether records may be admitted."""
        return self.open and not self.closing

    def has_read_feedback_of(self, dispatch_id: str) -> bool:
        """Return whether all feedback of a dispatch that was there at the opening has been handled."""
        if self.feedback is None:
            return True
        place, end = self.feedback
        return self.lanes.admitted_to(place) >= end and self.lanes.head(dispatch_id.encode()) is None

    def admit(self, record: Record) -> None:
        """Append a record to its lane, and run the lane if it was idle."""
        if self.lanes.leaves(record):
            return
        self._taken_at[record.topic, record.offset] = self._clock.monotonic()
        key = self.lanes.admit(record)
        if key is not None:
            self.start(self._run_lane(key))

    def taken_at(self, record: Record) -> float:
        """Return the monotonic time at which a held record was admitted."""
        return self._taken_at[record.topic, record.offset]

    def begin(self, record: Record) -> bool:
        """Note that the processing of a record begins, and return whether it is counted for the first time."""
        position, overdue = (record.topic, record.offset), self._overdue.get(record.place)
        counted = position in self._begun or (overdue is not None and record.offset in overdue)
        self._begun.add(position)
        return not counted

    def become_overdue(self, place: Place, end: int) -> int:
        """
        Return how many records of a place have waited for a minute since the last call, and have not begun.

        Each counts once, here or in `begin`. *end* is where the place ends now.
        """
        overdue = self._overdue.setdefault(place, Overdue(end))
        offsets = overdue.look(end, self._clock.monotonic())
        held = (offset for offset in self.lanes.unfinished(place) if offset in offsets)
        unread = range(max(offsets.start, self.lanes.admitted_to(place)), offsets.stop)
        return sum((place.topic, offset) not in self._begun for offset in held) + len(unread)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work in a task that is cancelled when the assignment ends."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and not isinstance(task.exception(), Revoked):
            log.error("lane.failed", partition=self.number, exc_info=task.exception())
            self._on_failure(Failed.PARTITION)

    def check(self) -> None:
        """Raise Revoked if the partition is being revoked; call this before each wait that may be long."""
        if self.closing:
            raise Revoked

    @contextmanager
    def uninterruptible(self) -> Iterator[None]:
        """Let the current task finish the block, even when the partition is being revoked. Blocks may nest."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - lanes are tasks
        if task in self._uninterruptible:
            yield
            return
        self._uninterruptible.add(task)
        try:
            yield
        finally:
            self._uninterruptible.discard(task)

    async def _run_lane(self, key: bytes) -> None:
        while (record := self.lanes.head(key)) is not None:
            self.check()
            try:
                await self._process(record, self)
            except Revoked:
                raise
            except LeftInLog:
                self._leave(key)
                return
            except Exception:
                # A bug of ours must not finish a record that was not processed: this mentor waits, others do not.
                log.exception("lane.failed", partition=self.number, topic=record.topic, offset=record.offset)
                self._on_failure(Failed.RECORD)
                await self._clock.sleep(_FAILED_LANE_SECONDS)
                continue
            self.lanes.finish(record)
            self._forget(record)
            self._on_progress()

    def _leave(self, key: bytes) -> None:
        """Leave a lane in the log: its records are read again when the partition is opened the next time."""
        for record in self.lanes.leave(key):
            self._forget(record)
        self._on_progress()

    def _forget(self, record: Record) -> None:
        del self._taken_at[record.topic, record.offset]
        self._begun.discard((record.topic, record.offset))

    async def close(self, deadline_seconds: float) -> None:
        """End the assignment: cancel what waits, and wait at most *deadline_seconds* for what passed the gate."""
        self.closing = True
        deadline = self._clock.monotonic() + deadline_seconds
        while self._tasks and self._clock.monotonic() < deadline:
            for task in self._tasks - self._uninterruptible:
                task.cancel()
            await asyncio.wait(set(self._tasks), timeout=_CANCEL_AGAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        self.gone = True
        if self._tasks:
            log.error("partition.not_drained", partition=self.number, lanes=len(self._tasks))
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(set(self._tasks), timeout=_CANCEL_AGAIN_SECONDS)
