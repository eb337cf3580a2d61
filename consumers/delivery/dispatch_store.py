"""What is known of a dispatch, and how a new state of it becomes durable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from consumers.assignment.assignment import Assignment
from consumers.delivery.durable_publisher import DurablePublisher
from consumers.steps import Reached, Step
from runtime.clock import Clock
from runtime.kafka.publisher import Published, Publisher
from runtime.kafka.retry import until_kafka_answers
from runtime.kafka.topic_watch import TopicRecreated
from schemas import headers as names
from schemas.dispatch import Dispatch, dispatch_json, fold


class Dispatches(Protocol):
    """Reads dispatch records back."""

    async def read(self, number: int, offset: int) -> Dispatch | None:
        """Return the record at *offset* of partition *number*, or None if it is gone."""
        ...


@dataclass
class DispatchStore:
    """Reads and writes the dispatches of an owned partition, and keeps its ledger up to date."""

    publisher: Publisher
    durable: DurablePublisher
    topic: str
    dispatches: Dispatches
    clock: Clock
    reached: Reached

    async def known(self, assignment: Assignment, dispatch_id: str) -> Dispatch | None:
        """Return the dispatch, read back if it is final; None if it is unknown, or known and not readable."""
        found: dict[int, Dispatch | None] = {}
        while True:
            entry = assignment.ledger.get(dispatch_id)
            if entry is None or entry.unreadable:
                return None
            missing = [offset for offset in entry.missing if offset not in found]
            if not missing:
                return entry.folded(found)
            try:
                found |= await self._read_back(assignment, missing)
            except TopicRecreated:
                found.clear()

    async def _read_back(self, assignment: Assignment, offsets: list[int]) -> dict[int, Dispatch | None]:
        """Return the records at *offsets*, None for one that is gone."""
        return {offset: await self._read(assignment, offset) for offset in offsets}

    async def _read(self, assignment: Assignment, offset: int) -> Dispatch | None:
        """Return the record at *offset*; try until Kafka answers. Raise TopicRecreated."""

        async def read() -> Dispatch | None:
            assignment.check()
            return await self.dispatches.read(assignment.number, offset)

        return await until_kafka_answers(
            read,
            self.clock,
            "ledger.read.failed",
            pause=self.durable.retry_seconds,
            reraise=(TopicRecreated,),
            partition=assignment.number,
        )

    async def caught_up(self, assignment: Assignment, dispatch: Dispatch) -> Dispatch:
        """Merge in all that was read since. Call it before a send: a former owner may have ended the dispatch."""
        known = await self.known(assignment, dispatch.dispatch_id)
        return dispatch if known is None else fold(known, dispatch)

    def merged(self, assignment: Assignment, dispatch: Dispatch) -> Dispatch:
        """Merge in those late writes of a former owner that the ledger holds; readers of the topic merge the rest."""
        entry = assignment.ledger.get(dispatch.dispatch_id)
        held = None if entry is None else entry.folded()
        return dispatch if held is None else fold(held, dispatch)

    async def write_intent(self, assignment: Assignment, intent: Dispatch) -> None:
        """Write an intent with a single try. Raise PublishError."""
        published = await self._append(self.publisher, assignment, intent)
        self.reached(Step.INTENT_RECORDED, intent.dispatch_id)
        assignment.ledger.add_written(published.offset, intent)

    async def write(self, assignment: Assignment, dispatch: Dispatch) -> None:
        """Make a state durable. Call it inside `Assignment.uninterruptible`."""
        await self._write(assignment, dispatch)
        self.reached(Step.OUTCOME_RECORDED if dispatch.final else Step.PENDING_RECORDED, dispatch.dispatch_id)

    async def _write(self, assignment: Assignment, dispatch: Dispatch) -> None:
        published = await self._append(self.durable, assignment, dispatch)
        if assignment.ledger.add_written(published.offset, dispatch):
            await self.settle(assignment, dispatch.dispatch_id)

    async def settle(self, assignment: Assignment, dispatch_id: str) -> None:
        """Merge the records of a final dispatch, and append the result if none of them is equal to it."""
        entry = assignment.ledger.get(dispatch_id)
        if entry is None or not entry.final or entry.unreadable or len(entry.records) == 1:
            return
        try:
            found = await self._read_back(assignment, entry.missing)
        except TopicRecreated:
            return  # its records are gone
        merged = assignment.ledger.add_read_back(dispatch_id, found)
        if merged is None or not merged.seen_through:
            return  # the lane that processes its event ends it, after the dead letter that it may need
        with assignment.uninterruptible():
            await self._write(assignment, merged)

    async def _append(self, publisher: Publisher, assignment: Assignment, dispatch: Dispatch) -> Published:
        return await publisher.publish(
            self.topic,
            assignment.number,
            key=dispatch.dispatch_id.encode(),
            value=dispatch_json(dispatch),
            headers=[(names.FINAL, b"1")] if dispatch.final else [],
        )
