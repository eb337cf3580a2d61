"""What is known of a dispatch, and how a new state of it becomes durable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import structlog

from consumers.assignment.assignment import Assignment
from consumers.delivery.writer import Writer
from runtime.backoff import backoff_seconds
from runtime.clock import Clock
from runtime.kafka.publisher import Published, PublishError
from runtime.kafka.retry import until_kafka_answers
from runtime.kafka.topic_watch import TopicRecreated
from schemas.dispatch import Dispatch, fold

log = structlog.get_logger(__name__)
T = TypeVar("T")

_WRITE_AGAIN_BASE_SECONDS = 0.1
_WRITE_AGAIN_MOST_SECONDS = 2.0


class Dispatches(Protocol):
    """Where dispatch records are read back."""

    async def read(self, number: int, offset: int) -> Dispatch | None:
        """Return the record at *offset* of partition *number*, or None if there is none any more."""
        ...


class DispatchStore:
    """Reads and writes dispatches of an owned partition, its ledger kept in step."""

    def __init__(self, writer: Writer, dispatches: Dispatches, clock: Clock, random: Callable[[], float]) -> None:
        self._writer = writer
        self._dispatches = dispatches
        self._clock = clock
        self._random = random

    async def known(self, assignment: Assignment, dispatch_id: str) -> Dispatch | None:
        """Return the dispatch as it is known, read back where it is final; None also where that cannot be read."""
        found: dict[int, Dispatch | None] = {}
        while True:
            known = assignment.ledger.get(dispatch_id)
            if known is None or known.unreadable:
                return None
            missing = [offset for offset in known.missing if offset not in found]
            if not missing:
                return known.folded(found)
            try:
                found |= await self._read_back(assignment, dispatch_id, missing)
            except TopicRecreated:
                found.clear()

    async def _read_back(
        self, assignment: Assignment, dispatch_id: str, offsets: list[int]
    ) -> dict[int, Dispatch | None]:
        """Return the records at *offsets*, None for those that are gone; the ledger is told of another dispatch's."""
        found: dict[int, Dispatch | None] = {}
        for offset in offsets:
            record = await self._read(assignment, offset)
            if record is not None and record.dispatch_id != dispatch_id:
                assignment.ledger.tell_apart(dispatch_id, offset)
            else:
                found[offset] = record
        return found

    async def _read(self, assignment: Assignment, offset: int) -> Dispatch | None:
        """Return the record at *offset*, trying until Kafka answers. Raises TopicMadeAnew."""

        async def read() -> Dispatch | None:
            assignment.check()
            return await self._dispatches.read(assignment.number, offset)

        return await until_kafka_answers(
            read,
            self._clock,
            "ledger.read.failed",
            pause=self._write_again,
            reraise=(TopicRecreated,),
            partition=assignment.number,
        )

    async def caught_up(self, assignment: Assignment, dispatch: Dispatch) -> Dispatch:
        """Fold in what was read since, a final record of a former owner included: asked before anything is sent."""
        known = await self.known(assignment, dispatch.dispatch_id)
        return dispatch if known is None else fold(known, dispatch)

    def at_hand(self, assignment: Assignment, dispatch: Dispatch) -> Dispatch:
        """Fold in what is at hand of a former owner's late writes; readers fold the rest."""
        known = assignment.ledger.get(dispatch.dispatch_id)
        at_hand = None if known is None else known.folded()
        return dispatch if at_hand is None else fold(at_hand, dispatch)

    async def write(self, assignment: Assignment, dispatch: Dispatch) -> None:
        """Make a state durable, and know it."""
        published: Published = await self.durably(
            assignment, lambda: self._writer.dispatch(assignment.number, dispatch)
        )
        if assignment.ledger.wrote(published.offset, dispatch):
            await self.settle(assignment, dispatch.dispatch_id)

    async def settle(self, assignment: Assignment, dispatch_id: str) -> None:
        """Fold the records of a final dispatch that lies in several, and append the fold where none of them says it."""
        known = assignment.ledger.get(dispatch_id)
        if known is None or not known.final or known.unreadable or len(known.records) == 1:
            return
        try:
            found = await self._read_back(assignment, dispatch_id, known.missing)
        except TopicRecreated:
            return  # its records are gone
        folded = assignment.ledger.settle(dispatch_id, found)
        if folded is None or not folded.seen_through:
            return  # whoever sees its event through ends it, after the dead letter that it may need
        with assignment.uninterruptible():
            await self.write(assignment, folded)

    async def durably(self, assignment: Assignment, write: Callable[[], Awaitable[T]]) -> T:
        """Write until it is durable, also while the partition is being given up: the end of the drain interrupts it."""
        failures = 0
        while True:
            try:
                return await write()
            except PublishError as error:
                failures += 1
                log.warning(
                    "record.not_durable", partition=assignment.number, error=type(error).__name__, detail=str(error)
                )
            await self._clock.sleep(self._write_again(failures))

    def _write_again(self, failures: int) -> float:
        return backoff_seconds(
            failures, base=_WRITE_AGAIN_BASE_SECONDS, ceiling=_WRITE_AGAIN_MOST_SECONDS, random=self._random
        )
