"""The replica: polls, hands records to their lanes, commits what is finished, and gives partitions up in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka.errors import IllegalStateError

from consumers.admission.gate import Gate
from consumers.assignment.assignment import Assignment
from consumers.assignment.membership import CommitRefused, Membership
from consumers.assignment.start_offsets import StartOffset, StartOffsets
from consumers.assignment.watchdog import Watchdog, WatchdogBarked, always_answers
from consumers.contacts_follower import ContactsFollower
from consumers.delivery.assembly import RecordProcessing
from consumers.delivery.missing_records import MissingRecords
from consumers.ledger.ledgers import Ledgers
from consumers.metrics import Metrics
from consumers.steps import Reached, Step, nobody_listens
from runtime.clock import Clock
from runtime.kafka.fetching import Deleted, Fetched
from runtime.kafka.records import Place
from runtime.kafka.retry import UNAVAILABLE, until_kafka_answers
from runtime.kafka.rights import RightsWatch
from runtime.kafka.topics import Topics

__all__ = ["Bounds", "Replica", "WatchdogBarked"]

log = structlog.get_logger(__name__)

_POLL_MS = 200
_POLL_RECORDS = 500
_COMMIT_SECONDS = 0.2
_IDLE_SECONDS = 0.05
_AGAIN_SECONDS = 0.5
_HOUSEKEEPING_SECONDS = 1.0
PARKED_TIMES = 5
"""How many times the records held may be held beside them while they only wait: each costs memory, but no work."""


@dataclass(frozen=True)
class Bounds:
    """How much a replica holds, and how long its steps may take."""

    max_records_held: int
    max_bytes_held: int
    max_span: int
    drain_seconds: float
    watchdog_seconds: float


class Replica:
    """Sees every record of the owned partitions through to one final dispatch."""

    def __init__(
        self,
        bounds: Bounds,
        clock: Clock,
        *,
        topics: Topics,
        partitions: int,
        membership: Membership,
        ledgers: Ledgers,
        gate: Gate,
        processor: RecordProcessing,
        follower: ContactsFollower,
        metrics: Metrics,
        beside: Sequence[Callable[[], Coroutine[Any, Any, None]]],
        rights: RightsWatch | None = None,
        kafka_answers: Callable[[], Awaitable[bool]] = always_answers,
        reached: Reached = nobody_listens,
    ) -> None:
        self._bounds = bounds
        self._clock = clock
        self._topics = topics
        self._partitions = partitions
        self._membership = membership
        self._ledgers = ledgers
        self._gate = gate
        self._processor = processor
        self._missing = MissingRecords(processor.dead_letters, ledgers.first_offset, clock)
        self._follower = follower
        self._metrics = metrics
        self._start_offsets = StartOffsets(membership, ledgers, clock, topics, metrics)
        self._beside = [*beside, self._start_offsets.watch]
        self._rights = rights
        self._reached = reached
        self._watchdog = Watchdog(clock, patience_seconds=bounds.watchdog_seconds, kafka_answers=kafka_answers)
        self._assignments: dict[int, Assignment] = {}
        self._progress = asyncio.Event()
        self._polled_at = clock.monotonic()
        self._stopping = False
        self._joined = False

    async def run(self, stopping: asyncio.Event) -> None:
        """
        Work until *stopping* is set or the watchdog barks, then finish what passed the gate, commit it, and leave.

        Raises WatchdogBarked.
        """
        await self._join(stopping)
        async with asyncio.TaskGroup() as work:
            own = (self._poll_forever, self._commit_forever, self._follow_ledgers, self._keep_house)
            workers = [work.create_task(worker()) for worker in (*self._beside, *own)]
            told, watching = work.create_task(stopping.wait()), work.create_task(self._watch())
            await asyncio.wait({told, watching}, return_when=asyncio.FIRST_COMPLETED)
            barked = watching.result() if watching.done() else None
            self._stopping = True
            await self._give_up(list(self._assignments.values()))
            for worker_task in (*workers, told, watching):
                worker_task.cancel()
        await self._membership.stop()
        if barked is not None:
            raise barked

    async def _join(self, stopping: asyncio.Event) -> None:
        async def join() -> None:
            if not stopping.is_set():
                await self._membership.start(on_assigned=self._assigned, on_revoked=self._revoked)

        await until_kafka_answers(join, self._clock)

    # -- assigned and revoked ------------------------------------------------------------------------------------

    def _assigned(self, places: set[Place]) -> None:
        """Begin to own; only starts the reading of ledgers, since a slow callback would cost the membership."""
        self._joined = True
        if self._stopping:
            return  # what comes now is the next owner's: nobody would drain it
        for number in sorted({place.partition for place in places}):
            ledger = self._ledgers.ledger_for(number)
            assignment = Assignment(number, ledger, self._clock, self._processor.process, self._progress.set)
            self._assignments[number] = assignment
            assignment.start(self._open(assignment, [place for place in sorted(places) if place.partition == number]))
        self._gate.set_share(len(self._assignments), self._partitions)
        log.info("group.assigned", partitions=sorted(self._assignments))

    async def _revoked(self, places: set[Place]) -> None:
        numbers = {place.partition for place in places}
        await self._give_up([assignment for number, assignment in self._assignments.items() if number in numbers])
        log.info("group.revoked", partitions=sorted(numbers))

    async def _open(self, assignment: Assignment, places: Sequence[Place]) -> None:
        """Read the ledger to its end as of now, then let records in."""

        async def read() -> Mapping[Place, StartOffset] | None:
            start_offsets = await self._start_offsets.find(places)
            if start_offsets is not None:
                await self._ledgers.read_to_now(assignment.number, start_offsets)
            return start_offsets

        start_offsets = await until_kafka_answers(read, self._clock, "ledger.unreachable", partition=assignment.number)
        if start_offsets is None:
            return
        await self._follower.until_caught_up()
        assignment.check()
        for place, begins in start_offsets.items():
            assignment.lanes.start(place, begins.seen_up_to)
            if begins.seen_up_to < begins.offset:
                self._missing.tell_deleted(assignment, Deleted(place, begins.seen_up_to, begins.offset))
        self._membership.open({place: begins.offset for place, begins in start_offsets.items()})
        assignment.open = True
        log.info("partition.opened", partition=assignment.number, known=len(assignment.ledger))

    async def _give_up(self, leaving: Sequence[Assignment]) -> None:
        """Finish what passed the gate, commit, and forget; the ledger is kept for when the partition comes back."""
        numbers = ",".join(str(assignment.number) for assignment in leaving)
        await asyncio.gather(*(assignment.close(self._bounds.drain_seconds) for assignment in leaving))
        self._reached(Step.DRAINED, numbers)
        # A stop and a revocation may give up the same one: who comes second must not commit what is not ours any more.
        await self._commit(
            [assignment for assignment in leaving if self._assignments.get(assignment.number) is assignment]
        )
        for assignment in leaving:
            if self._assignments.get(assignment.number) is assignment:
                del self._assignments[assignment.number]
            self._ledgers.stop_following(assignment.number)
        self._gate.set_share(len(self._assignments), self._partitions)
        self._progress.set()
        self._reached(Step.GIVEN_UP, numbers)

    # -- polling -------------------------------------------------------------------------------------------------

    async def _poll_forever(self) -> None:
        while not self._stopping:
            self._polled_at = self._clock.monotonic()
            places = self._ready()
            room = self._bounds.max_records_held - self._busy()
            if not places or room <= 0:
                await self._until_progress()
                continue
            try:
                fetched = await self._membership.poll(
                    places, timeout_ms=_POLL_MS, max_records=min(room, self._share, _POLL_RECORDS)
                )
            except IllegalStateError:  # a partition went while it was being fetched
                await self._clock.sleep(_IDLE_SECONDS)
                continue
            except UNAVAILABLE as error:
                log.warning("group.poll.failed", error=type(error).__name__)
                await self._clock.sleep(_AGAIN_SECONDS)
                continue
            self._admit(fetched)
            await asyncio.sleep(0)  # what ends at once, as floods of junk do, makes room before the next fetch waits

    def _held(self) -> int:
        return sum(assignment.lanes.held for assignment in self._assignments.values())

    def _busy(self) -> int:
        """Return how many records are held, less those that only wait, of which there may be several times as many."""
        parked = sum(assignment.lanes.parked for assignment in self._assignments.values())
        return self._held() - min(parked, self._bounds.max_records_held * PARKED_TIMES)

    def _may_park(self) -> bool:
        parked = sum(assignment.lanes.parked for assignment in self._assignments.values())
        return parked < self._bounds.max_records_held * PARKED_TIMES

    @property
    def _share(self) -> int:
        """
        Return how many records a partition may hold before the others have theirs.

        A fetch gives first of what came first: without it the backlog of some partitions, fetched in large pieces,
        keeps the rest out for as long as it lasts.
        """
        return max(self._bounds.max_records_held // max(len(self._assignments), 1), 1)

    def _ready(self) -> list[Place]:
        """Return the places from which records may be taken; a full bound stops taking, never polling for long."""
        if sum(assignment.lanes.held_bytes for assignment in self._assignments.values()) >= self._bounds.max_bytes_held:
            return []
        may_park = self._may_park()
        return [
            place
            for assignment in self._assignments.values()
            if assignment.open and not assignment.closing
            if assignment.lanes.held - assignment.lanes.parked * may_park < self._share
            for place in assignment.lanes.places
            if assignment.lanes.span(place) < self._bounds.max_span
        ]

    async def _until_progress(self) -> None:
        self._progress.clear()
        try:
            async with asyncio.timeout(_IDLE_SECONDS):
                await self._progress.wait()
        except TimeoutError:
            return

    def _admit(self, fetched: Fetched) -> None:
        for place, records in fetched.records.items():
            assignment = self._assignments.get(place.partition)
            if assignment is None or assignment.closing or not assignment.open:
                continue  # they are the next owner's
            self._missing.look_for_leaps(assignment, place, records)
            for record in records:
                assignment.admit(record)
        for passed in fetched.unreadable:
            assignment = self._assignments.get(passed.place.partition)
            if assignment is not None and not assignment.closing:
                self._missing.tell_unreadable(assignment, passed)
        for deleted in fetched.deleted:
            assignment = self._assignments.get(deleted.place.partition)
            if assignment is not None and not assignment.closing and assignment.open:
                self._missing.tell_deleted(assignment, deleted)

    # -- committing and following --------------------------------------------------------------------------------

    async def _commit_forever(self) -> None:
        while True:
            await self._clock.sleep(_COMMIT_SECONDS)
            await self._commit([assignment for assignment in self._assignments.values() if not assignment.closing])

    async def _commit(self, owners: Sequence[Assignment]) -> None:
        marks = {assignment: assignment.lanes.committable() for assignment in owners}
        offsets = {place: offset for mark in marks.values() for place, offset in mark.items()}
        if not offsets:
            return
        self._reached(Step.COMMITTING, "")
        try:
            await self._membership.commit(offsets)
        except CommitRefused as error:
            self._metrics.commits.labels(outcome="refused").inc()
            log.warning("group.commit.refused", error=str(error))
            return
        except UNAVAILABLE as error:
            self._metrics.commits.labels(outcome="failed").inc()
            log.warning("group.commit.failed", error=type(error).__name__)
            return
        self._reached(Step.COMMITTED, "")
        self._metrics.commits.labels(outcome="committed").inc()
        for assignment, mark in marks.items():
            assignment.lanes.committed(mark)

    async def _follow_ledgers(self) -> None:
        while True:
            for number, dispatch_id in await self._ledgers.poll():
                assignment = self._assignments.get(number)
                if assignment is not None and assignment.open and not assignment.closing:
                    assignment.start(self._processor.settle(assignment, dispatch_id))

    # -- health --------------------------------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        while True:
            await self._clock.sleep(_HOUSEKEEPING_SECONDS)
            self._membership.heal()
            self._measure()

    async def _watch(self) -> WatchdogBarked:
        """Return why the process must end, once it must: what passed the gate is finished before, while others work."""
        while True:
            await self._clock.sleep(_HOUSEKEEPING_SECONDS)
            try:
                await self._watchdog.look(polled_at=self._polled_at, heartbeat_at=self._membership.last_heartbeat)
            except WatchdogBarked as barked:
                return barked

    @property
    def ready(self) -> bool:
        """Return whether all is read and Kafka is connected and allows us what we need; standby is ready, too."""
        return (
            self._joined
            and not self._stopping
            and not self._missing_rights
            and not self._start_offsets.missing
            and self._follower.caught_up
            and self._membership.connected
            and all(assignment.open for assignment in self._assignments.values())
        )

    @property
    def _missing_rights(self) -> list[str]:
        return [] if self._rights is None else [str(one) for one in self._rights.missing]

    def detail(self) -> dict[str, object]:
        """Return what a person wants to know beside ready or not."""
        oldest = [
            record for assignment in self._assignments.values() if (record := assignment.lanes.oldest()) is not None
        ]
        return {
            "joined": self._joined,
            "kafka_connected": self._membership.connected,
            "missing_rights": self._missing_rights,
            "missing_topics": sorted(self._start_offsets.missing),
            "contacts_read": self._follower.caught_up,
            "partitions": sorted(self._assignments),
            "ledgers_being_read": sorted(
                number for number, assignment in self._assignments.items() if not assignment.open
            ),
            "halt": self._gate.halt,
            "gate_rate": round(self._gate.rate, 3),
            "waiting_at_gate": self._gate.waiting,
            "sends_in_flight": self._gate.in_flight,
            "records_held": self._held(),
            "oldest_unfinished": min((r.appended_at.isoformat() for r in oldest), default=None),
        }

    def _measure(self) -> None:
        metrics, owners = self._metrics, list(self._assignments.values())
        metrics.in_flight.set(self._gate.in_flight)
        metrics.gate_rate.set(self._gate.rate)
        metrics.gate_waiting.set(self._gate.waiting)
        metrics.halted.clear()
        if self._gate.halt is not None:
            metrics.halted.labels(reason=self._gate.halt).set(1)
        metrics.partitions.set(len(owners))
        metrics.held.set(self._held())
        metrics.contacts.set(self._follower.contacts.valid)
        metrics.contacts_invalid.set(self._follower.contacts.invalid)
        metrics.ledger_entries.set(sum(len(assignment.ledger) for assignment in owners))
        metrics.ledger_dropped.set(sum(assignment.ledger.dropped for assignment in owners))
        oldest = min((r.appended_at for assignment in owners if (r := assignment.lanes.oldest())), default=None)
        metrics.oldest_unfinished.set(oldest.timestamp() if oldest else 0)
        metrics.lag_seconds.set(max((self._clock.now() - oldest).total_seconds(), 0) if oldest else 0)
        metrics.lag_records.clear()
        for assignment in owners:
            for place in assignment.lanes.places:
                end = self._membership.end_of(place)
                if end is not None:
                    labels = {"topic": self._topics.plain(place.topic), "partition": str(place.partition)}
                    metrics.lag_records.labels(**labels).set(max(end - assignment.lanes.watermark(place), 0))
