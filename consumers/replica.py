"""The replica: polls, hands records to the lanes of their partition, and commits what is finished."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog
from aiokafka.errors import IllegalStateError

from consumers.assignment.assignments import Assignments
from consumers.assignment.committer import Committer
from consumers.assignment.membership import Membership
from consumers.assignment.watchdog import Watchdog, WatchdogBarked
from consumers.bounds import Bounds
from consumers.delivery.missing_records import MissingRecords
from runtime.clock import Clock
from runtime.kafka.fetching import Fetched
from runtime.kafka.records import Place
from runtime.kafka.retry import UNAVAILABLE, until_kafka_answers

__all__ = ["Replica", "WatchdogBarked"]

log = structlog.get_logger(__name__)

_AGAIN_SECONDS = 0.5
_HOUSEKEEPING_SECONDS = 1.0


class Replica:
    """Processes every record of the owned partitions until it has one final dispatch."""

    def __init__(
        self,
        bounds: Bounds,
        clock: Clock,
        membership: Membership,
        assignments: Assignments,
        committer: Committer,
        missing: MissingRecords,
        watchdog: Watchdog,
        workers: Sequence[Callable[[], Coroutine[Any, Any, None]]],
    ) -> None:
        self._bounds = bounds
        self._clock = clock
        self._membership = membership
        self._assignments = assignments
        self._committer = committer
        self._missing = missing
        self._watchdog = watchdog
        self._workers = workers
        """What runs as long as the replica does, as well as its own loops."""
        self._polled_at = clock.monotonic()

    async def run(self, stopping: asyncio.Event) -> None:
        """
        Work until *stopping* is set or the watchdog barks, then finish what passed the gate, commit it, and leave.

        Raises WatchdogBarked.
        """
        await self._join(stopping)
        async with asyncio.TaskGroup() as tasks:
            own = (self._poll_forever, self._commit_forever, self._heal_forever)
            working = [tasks.create_task(work()) for work in (*self._workers, *own)]
            stop, watch = tasks.create_task(stopping.wait()), tasks.create_task(self._watch())
            await asyncio.wait({stop, watch}, return_when=asyncio.FIRST_COMPLETED)
            barked = watch.result() if watch.done() else None
            await self._assignments.stop()
            for task in (*working, stop, watch):
                task.cancel()
        await self._membership.stop()
        if barked is not None:
            raise barked

    async def _join(self, stopping: asyncio.Event) -> None:
        async def join() -> None:
            if not stopping.is_set():
                await self._membership.start(on_assigned=self._assignments.assign, on_revoked=self._assignments.revoke)

        await until_kafka_answers(join, self._clock)

    async def _poll_forever(self) -> None:
        while not self._assignments.stopping:
            self._polled_at = self._clock.monotonic()
            places = await self._places_to_fetch()
            owned, admitting = self._assignments.lanes, self._assignments.admitting
            records = self._bounds.records_to_fetch(owned) if places else self._bounds.poll_records
            places += self._bounds.apart_to_fetch(admitting)
            if not places:
                await self._assignments.until_progress(self._bounds.idle_seconds)
                continue
            await self._poll(places, records, timeout_ms=self._bounds.poll_ms)
            await asyncio.sleep(0)  # what ends at once, as floods of junk do, makes room before the next fetch waits

    async def _places_to_fetch(self) -> list[Place]:
        """
        Return the places to fetch from, after taking what has arrived for those that hold little.

        A poll returns first what came first: it must not wait until thousands of records of other places are read.
        """
        owned, admitting = self._assignments.lanes, self._assignments.admitting
        places = self._bounds.places_to_fetch(owned, admitting)
        short = self._bounds.short_places(places, owned, admitting)
        if not short:
            return places
        await self._poll(short, self._bounds.records_to_fetch(owned), timeout_ms=0)
        return self._bounds.places_to_fetch(self._assignments.lanes, self._assignments.admitting)

    async def _poll(self, places: list[Place], records: int, *, timeout_ms: int) -> None:
        try:
            fetched = await self._membership.poll(places, timeout_ms=timeout_ms, max_records=records)
        except IllegalStateError:  # a partition was revoked during the fetch
            await self._clock.sleep(self._bounds.idle_seconds)
        except UNAVAILABLE as error:
            log.warning("group.poll.failed", error=type(error).__name__)
            await self._clock.sleep(_AGAIN_SECONDS)
        else:
            self._hand_over(fetched)

    def _hand_over(self, fetched: Fetched) -> None:
        """Hand what was fetched to the assignment of its partition; the next owner reads what is no longer ours."""
        for place, records in fetched.records.items():
            assignment = self._assignments.get(place.partition)
            if assignment is not None and assignment.open:
                self._missing.check_gaps(assignment, place, records)
                for record in records:
                    assignment.admit(record)
        for skipped in fetched.unreadable:
            assignment = self._assignments.get(skipped.place.partition)
            if assignment is not None:
                self._missing.report_unreadable(assignment, skipped)
        for deleted in fetched.deleted:
            assignment = self._assignments.get(deleted.place.partition)
            if assignment is not None and assignment.open:
                self._missing.report_deleted(assignment, deleted)

    async def _commit_forever(self) -> None:
        while True:
            await self._clock.sleep(self._bounds.commit_seconds)
            await self._committer.commit([one for one in self._assignments if not one.closing])

    async def _heal_forever(self) -> None:
        while True:
            await self._clock.sleep(_HOUSEKEEPING_SECONDS)
            self._membership.heal()

    async def _watch(self) -> WatchdogBarked:
        """Return why the process must end. It is not raised, so that all others still work while the replica drains."""
        while True:
            await self._clock.sleep(_HOUSEKEEPING_SECONDS)
            try:
                await self._watchdog.look(polled_at=self._polled_at, heartbeat_at=self._membership.last_heartbeat)
            except WatchdogBarked as barked:
                return barked
