"""The partition numbers that this replica owns, from being assigned to being given up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime

import structlog

from consumers.assignment.assignment import Assignment, Failed
from consumers.assignment.committer import Committer
from consumers.assignment.lanes import Lanes
from consumers.assignment.opener import Opener
from consumers.delivery.dispatch_store import DispatchStore
from consumers.ledger.ledgers import Ledgers
from consumers.steps import Reached, Step, nobody_listens
from runtime.clock import Clock
from runtime.kafka.records import Place, Record

log = structlog.get_logger(__name__)


class Assignments:
    """All assignments at work."""

    def __init__(
        self,
        clock: Clock,
        ledgers: Ledgers,
        process: Callable[[Record, Assignment], Awaitable[None]],
        store: DispatchStore,
        opener: Opener,
        committer: Committer,
        *,
        drain_seconds: float,
        on_owned: Callable[[int], None],
        on_failure: Callable[[Failed], None] = lambda _: None,
        apart: str = "",
        reached: Reached = nobody_listens,
    ) -> None:
        self._clock = clock
        self._ledgers = ledgers
        self._process = process
        self._store = store
        self._opener = opener
        self._committer = committer
        self._drain_seconds = drain_seconds
        self._on_owned = on_owned
        """Takes how many partition numbers are owned, whenever that changes."""
        self._on_failure = on_failure
        self._apart = apart
        """The topic whose partition is owned only along with the events of the same number."""
        self._reached = reached
        self._owned: dict[int, Assignment] = {}
        self._progress = asyncio.Event()
        self.joined = False
        """Whether the group has assigned anything yet, if only nothing."""
        self.stopping = False
        self.rebalances = 0
        """How often the group has assigned what this replica owns."""
        self._paused_at: float | None = None
        self._paused_seconds = 0.0

    def __len__(self) -> int:
        return len(self._owned)

    def __iter__(self) -> Iterator[Assignment]:
        return iter(list(self._owned.values()))

    @property
    def lanes(self) -> list[Lanes]:
        """Return the lanes of all that is owned."""
        return [assignment.lanes for assignment in self._owned.values()]

    @property
    def admitting(self) -> list[Lanes]:
        """Return the lanes that take records."""
        return [assignment.lanes for assignment in self._owned.values() if assignment.admitting]

    @property
    def held(self) -> int:
        """Return how many records are held."""
        return sum(lanes.held for lanes in self.lanes)

    @property
    def paused_seconds(self) -> float:
        """Return for how long, in all, something owned waited for the end of a rebalance."""
        now = self._clock.monotonic()
        return self._paused_seconds + (0.0 if self._paused_at is None else now - self._paused_at)

    def oldest_unfinished(self, assignment: Assignment) -> datetime | None:
        """Return when the oldest unfinished record was appended, or None if all are finished, or nothing is known."""
        if not assignment.open:
            return self._unfinished_since(assignment.number)
        record = assignment.lanes.oldest()
        return None if record is None else record.appended_at

    def oldest_uncommitted(self, assignment: Assignment) -> datetime | None:
        """Return the same for the oldest record that is not committed, to the second."""
        if not assignment.open:
            return self._unfinished_since(assignment.number)
        return assignment.lanes.uncommitted_since()

    def _unfinished_since(self, number: int) -> datetime | None:
        known = self._ledgers.unfinished_since.items()
        return min((since for place, since in known if place.partition == number), default=None)

    def get(self, number: int) -> Assignment | None:
        """Return the assignment of a partition number, or None if it is not owned or is being given up."""
        assignment = self._owned.get(number)
        return None if assignment is None or assignment.closing else assignment

    def assign(self, places: set[Place]) -> None:
        """
        Begin to own *places*. This only starts the opening, since a slow callback would cost the membership.

        While members of an older release do not subscribe to all topics, feedback may come here and the events of its
        number to another member. It is left unread then, until the group assigns both to one.
        """
        self.joined = True
        if self.stopping:
            return  # nobody would drain it: it is left for the next owner
        self.rebalances += 1
        self._pause()
        for number in sorted({place.partition for place in places if place.topic != self._apart}):
            ledger = self._ledgers.ledger_for(number)
            assignment = Assignment(number, ledger, self._clock, self._process, self._progress.set, self._on_failure)
            self._owned[number] = assignment
            own = [place for place in sorted(places) if place.partition == number]
            assignment.start(self._open(assignment, own))
        self._resume_if_open()
        self._on_owned(len(self._owned))
        log.info("group.assigned", partitions=sorted(self._owned))

    async def _open(self, assignment: Assignment, places: Sequence[Place]) -> None:
        await self._opener.open(assignment, places)
        self._resume_if_open()

    def _pause(self) -> None:
        if self._paused_at is None:
            self._paused_at = self._clock.monotonic()

    def _resume_if_open(self) -> None:
        if all(assignment.open for assignment in self):
            self._paused_seconds, self._paused_at = self.paused_seconds, None

    async def revoke(self, places: set[Place]) -> None:
        """Give up what the group takes away."""
        if not self.stopping:
            self._pause()
        numbers = {place.partition for place in places}
        await self._give_up([assignment for number, assignment in self._owned.items() if number in numbers])
        log.info("group.revoked", partitions=sorted(numbers))

    async def stop(self) -> None:
        """Give up everything, and own nothing from now on."""
        self.stopping = True
        await self._give_up(list(self._owned.values()))

    async def _give_up(self, leaving: Sequence[Assignment]) -> None:
        """Finish what passed the gate, commit, and forget. The ledger is kept for when the partition comes back."""
        numbers = ",".join(str(assignment.number) for assignment in leaving)
        await asyncio.gather(*(assignment.close(self._drain_seconds) for assignment in leaving))
        self._reached(Step.DRAINED, numbers)
        # A stop and a revocation may give up the same one. The second must not commit what another may own by now.
        await self._committer.commit([assignment for assignment in leaving if self._owns(assignment)])
        for assignment in leaving:
            if self._owns(assignment):
                del self._owned[assignment.number]
            self._ledgers.stop_following(assignment.number)
        self._on_owned(len(self._owned))
        self._progress.set()
        self._reached(Step.GIVEN_UP, numbers)

    def _owns(self, assignment: Assignment) -> bool:
        return self._owned.get(assignment.number) is assignment

    async def follow_ledgers(self) -> None:
        """Read what is appended to the ledgers, and settle late writes of former owners, until cancelled."""
        while True:
            for number, dispatch_id in await self._ledgers.poll():
                assignment = self._owned.get(number)
                if assignment is not None and assignment.admitting:
                    assignment.start(self._store.settle(assignment, dispatch_id))

    async def until_progress(self, seconds: float) -> None:
        """Wait until a record is finished or a partition is given up, *seconds* at most."""
        self._progress.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._progress.wait()
        except TimeoutError:
            return
