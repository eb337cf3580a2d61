"""A member of the simulated consumer group, which behaves as aiokafka's client does.

As measured on aiokafka 0.14: rebalances are eager; a commit goes out in whatever generation is valid when it is sent,
for any place of the last assignment, revoked or not; a group without members takes commits from anybody; a member
whose session expired works on until its next heartbeat.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from aiokafka.errors import IllegalStateError, KafkaError, RequestTimedOutError

from consumers.assignment.membership import CommitRefused, Committed, Membership
from runtime.kafka.fetching import Fetched
from runtime.kafka.records import Place, Record
from tests.simulation.coordinator import NO_GENERATION, Assignment, Coordinator, Verdict
from tests.simulation.faults import Faults
from tests.simulation.history import OPENED, CommitAsked, Happened, History, Troubled, Unexpected
from tests.simulation.kafka import Logs, wake
from tests.simulation.loop import SimulatedLoop
from tests.simulation.wire import Wire

HEARTBEAT_SECONDS = 0.6
COMMIT_DEADLINE_SECONDS = 0.3
_REQUEST_SECONDS = 6.0
_IDLE_SECONDS = 2.0


class SimulatedGroup(Membership):
    """One member of the group."""

    def __init__(
        self,
        name: str,
        coordinator: Coordinator,
        logs: Logs,
        loop: SimulatedLoop,
        wire: Wire,
        faults: Faults,
        history: History,
    ) -> None:
        self._name = name
        self._coordinator = coordinator
        self._logs = logs
        self._loop = loop
        self._wire = wire
        self._faults = faults
        self._history = history
        self._incarnations = itertools.count(1)
        self._member = ""
        self._generation = NO_GENERATION
        self._places: frozenset[Place] = frozenset()
        self._next: dict[Place, int] = {}
        self._owned_from: dict[Place, int | None] = {}
        self._changed: asyncio.Future[None] | None = None
        self._first: asyncio.Future[None] | None = None
        self._membership: asyncio.Task[None] | None = None
        self._one_commit_at_a_time = asyncio.Lock()
        self._rejoin_wanted = False
        self._failure = None
        self.last_heartbeat = loop.time()
        self.on_poll: Callable[[], None] = lambda: None

    async def start(
        self,
        *,
        on_assigned: Callable[[set[Place]], None],
        on_revoked: Callable[[set[Place]], Awaitable[None]],
    ) -> None:
        """Join, and wait for the first assignment."""
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        self._first = self._loop.create_future()
        self._membership = asyncio.create_task(self._stay())
        self._membership.add_done_callback(self._ended)
        await self._first

    def _ended(self, membership: asyncio.Task[None]) -> None:
        if not membership.cancelled() and membership.exception() is not None:
            self._history.entries.append(Unexpected(self._loop.time(), self._name, repr(membership.exception())))

    async def _stay(self) -> None:
        while True:
            await self._join()
            await self._beat_until_rebalance()
            beating = asyncio.create_task(self._beat())
            await self._give_up()
            beating.cancel()

    async def _join(self) -> None:
        while True:
            if self._generation == NO_GENERATION:
                self._member = f"{self._name}.{next(self._incarnations)}"
            late = RequestTimedOutError()
            arrive = partial(self._coordinator.join, self._member)
            with suppress(KafkaError):
                answer = await self._wire.ask(self._faults.latency(), arrive, deadline=_REQUEST_SECONDS, late=late)
                assert isinstance(answer, Assignment)
                break
        self._generation, self._places = answer.generation, answer.places
        self._rejoin_wanted = False
        self.last_heartbeat = self._loop.time()
        self._owned_from = dict.fromkeys(answer.places)
        self._note("assigned")
        self._on_assigned(set(answer.places))
        if self._first is not None:
            wake(self._first)

    async def _beat_until_rebalance(self) -> None:
        while not self._rejoin_wanted and await self._beat_once() is Verdict.TAKEN:
            pass

    async def _beat(self) -> None:
        while await self._beat_once() is not Verdict.UNKNOWN_MEMBER:
            pass

    async def _beat_once(self) -> Verdict:
        await asyncio.sleep(HEARTBEAT_SECONDS)
        asked_at = self._loop.time()
        arrive = partial(self._coordinator.heartbeat, self._member, self._generation)
        try:
            verdict = await self._wire.ask(
                self._faults.latency(), arrive, deadline=_REQUEST_SECONDS, late=RequestTimedOutError()
            )
        except KafkaError:
            return Verdict.TAKEN
        assert isinstance(verdict, Verdict)
        if verdict is Verdict.UNKNOWN_MEMBER:
            self._generation = NO_GENERATION
        else:
            self.last_heartbeat = asked_at
        return verdict

    async def _give_up(self) -> None:
        self._note("revoked")
        places = set(self._places)
        if not places or self._on_revoked is None:
            return
        try:
            await self._on_revoked(places)
        except (KafkaError, OSError, TimeoutError, RuntimeError) as error:
            self._failure = error
        except Exception as error:  # noqa: BLE001 - aiokafka swallows it; here it is reported
            self._history.entries.append(Unexpected(self._loop.time(), self._name, f"revoke callback: {error!r}"))
        finally:
            self._owned_from.clear()
            for place in places:
                self._next.pop(place, None)

    def _note(self, what: str) -> None:
        numbers = ",".join(str(number) for number in sorted({place.partition for place in self._places}))
        self._history.entries.append(Happened(self._loop.time(), self._name, what, numbers))

    def rejoin(self) -> None:
        """Join again at the next heartbeat, so that everything is assigned once more."""
        self._rejoin_wanted = True

    def heal(self) -> None:
        """Do nothing: no simulated member is kept out of the group by an error."""

    async def stop(self) -> None:
        """Leave the group."""
        if self._membership is not None:
            self._membership.cancel()
        await asyncio.sleep(self._faults.latency())
        self._owned_from.clear()
        self._coordinator.leave(self._member)

    @property
    def connected(self) -> bool:
        """Return true: a broker is always connected."""
        return True

    async def identify(self) -> frozenset[str]:
        """Find no topic missing."""
        await self._faults.request()
        return frozenset()

    def look(self) -> None:
        """Find no topic changed."""

    def id_of(self, topic: str) -> str | None:
        """Return the name as the id."""
        return topic

    async def committed(self, place: Place) -> Committed | None:
        """Return the group's offset in a place, or None."""
        await self._faults.request()
        offset = self._coordinator.committed.get(place)
        return None if offset is None else Committed(offset, place.topic)

    def end_of(self, place: Place) -> int | None:
        """Return the end of a place."""
        return self._logs.end(place)

    def open(self, positions: Mapping[Place, int]) -> None:
        """Fetch these places from now on."""
        for place, offset in positions.items():
            if place not in self._places:
                raise IllegalStateError(place)
            self._next[place] = self._owned_from[place] = offset
        numbers = ",".join(str(number) for number in sorted({place.partition for place in positions}))
        self._history.entries.append(Happened(self._loop.time(), self._name, OPENED, numbers))
        if self._changed is not None:
            wake(self._changed)

    async def poll(self, places: Sequence[Place], *, timeout_ms: int, max_records: int) -> Fetched:
        """Fetch from *places*, which must be open."""
        self.on_poll()
        if self._failure is not None:
            raise self._failure
        wanted = [place for place in places if place in self._next]
        if not wanted:
            await asyncio.sleep(timeout_ms / 1000)
            return Fetched()
        if timeout_ms and not any(self._logs.end(place) > self._next[place] for place in wanted):
            self._changed = self._loop.create_future()
            await self._logs.news({place.topic for place in wanted}, self._changed, _IDLE_SECONDS)
        try:
            await self._faults.fetch()
        except RequestTimedOutError:
            self._history.entries.append(Troubled(self._loop.time(), self._name))
            raise
        return Fetched(self._take(wanted, max_records))

    def _take(self, wanted: Sequence[Place], at_most: int) -> dict[Place, list[Record]]:
        found = {}
        for place in wanted:
            position = self._next.get(place)
            if position is None or at_most <= 0:
                continue
            records = self._logs.records[place][position : position + at_most]
            if records:
                found[place] = records
                self._next[place] = position + len(records)
                at_most -= len(records)
        return found

    async def commit(self, offsets: Mapping[Place, int]) -> None:
        """Commit explicit offsets; raises CommitRefused, KafkaError or TimeoutError."""
        if not offsets:
            return
        for place, offset in offsets.items():
            began = self._owned_from.get(place)
            self._history.entries.append(CommitAsked(self._loop.time(), self._name, place, offset, began))
            if place not in self._places:
                raise CommitRefused("IllegalStateError")
        async with asyncio.timeout(COMMIT_DEADLINE_SECONDS):
            verdict = await self._send_commit(dict(offsets))
        if verdict is not Verdict.TAKEN:
            raise CommitRefused("CommitFailedError")

    async def _send_commit(self, offsets: Mapping[Place, int]) -> object:
        """Send commits one after another, as aiokafka does, in the generation that is valid at that moment."""
        async with self._one_commit_at_a_time:
            if self._faults.chance(self._faults.rates.commit_late):
                await asyncio.sleep(COMMIT_DEADLINE_SECONDS * self._faults.random.random())
            arrive = partial(self._coordinator.commit, self._member, self._generation, offsets)
            return await self._wire.ask(
                self._faults.latency(), arrive, deadline=COMMIT_DEADLINE_SECONDS, late=TimeoutError()
            )
