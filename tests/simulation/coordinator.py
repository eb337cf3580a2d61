"""The broker's side of a consumer group: eager rebalances, generations, and whose commits it accepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from runtime.kafka.records import Place
from tests.simulation.faults import Faults
from tests.simulation.history import Committed, Happened, History
from tests.simulation.kafka import PARTITIONS
from tests.simulation.loop import SimulatedLoop
from tests.simulation.wire import Request, Wire

SESSION_SECONDS = 3.0
_REBALANCE_SECONDS = 4.5
NO_GENERATION = -1
"""The generation of a member that has not joined yet, or is no longer known."""


class Verdict(Enum):
    """What the coordinator answers."""

    TAKEN = "taken"
    REBALANCING = "rebalancing"
    UNKNOWN_MEMBER = "unknown member"


@dataclass(eq=False)
class _Member:
    name: str
    expires_at: float
    joining: Request | None = None


@dataclass(frozen=True)
class Assignment:
    """What a member gets when a rebalance ends."""

    generation: int
    places: frozenset[Place]


class Coordinator:
    """The broker's side of the group."""

    def __init__(
        self, loop: SimulatedLoop, wire: Wire, faults: Faults, history: History, topics: Sequence[str]
    ) -> None:
        self._loop = loop
        self._wire = wire
        self._faults = faults
        self._history = history
        self._topics = topics
        self._members: dict[str, _Member] = {}
        self._generation = 0
        self._rebalancing = False
        self._settled_at = 0.0
        self.committed: dict[Place, int] = {}
        self.owners: dict[int, str] = {}
        """By partition number: its owner in the current generation."""

    def join(self, name: str, request: Request) -> None:
        """Receive a member's JoinGroup, which is answered when all have joined."""
        member = self._members.get(name)
        if member is None:
            member = self._members[name] = _Member(name, 0.0)
        member.joining = request
        if not self._rebalancing:
            self.rebalance()
        else:
            self._complete_if_all_joined()

    def rebalance(self) -> None:
        """Begin a rebalance: a member that does not join again in time is dropped."""
        if self._rebalancing or not self._members:
            return
        self._rebalancing = True
        generation = self._generation
        self._loop.outside(_REBALANCE_SECONDS, self._drop_laggards, generation)
        self._loop.outside(self._faults.latency(), self._complete_if_all_joined)

    def _drop_laggards(self, generation: int) -> None:
        if self._rebalancing and self._generation == generation:
            self._members = {name: one for name, one in self._members.items() if one.joining is not None}
            self._complete_if_all_joined()

    def _complete_if_all_joined(self) -> None:
        if not self._rebalancing or any(member.joining is None for member in self._members.values()):
            return
        self._rebalancing = False
        self._generation += 1
        self._settled_at = self._loop.time() + 2 * self._faults.latency()
        names = sorted(self._members)
        self.owners = {number: names[number * len(names) // PARTITIONS] for number in range(PARTITIONS) if names}
        for name, member in self._members.items():
            places = {Place(topic, n) for topic in self._topics for n, owner in self.owners.items() if owner == name}
            request, member.joining = member.joining, None
            assert request is not None  # all have joined
            delay = max(self._settled_at - self._loop.time(), 0) + self._faults.latency()
            self._wire.answer(delay, request, Assignment(self._generation, frozenset(places)))
            member.expires_at = self._loop.time() + delay + SESSION_SECONDS
            self._watch(member)

    def _watch(self, member: _Member) -> None:
        self._loop.outside(member.expires_at - self._loop.time(), self._expire, member)

    def _expire(self, member: _Member) -> None:
        if self._members.get(member.name) is not member or member.joining is not None:
            return
        if self._loop.time() < member.expires_at:
            self._watch(member)
            return
        self._history.entries.append(Happened(self._loop.time(), member.name, "session expired"))
        self.leave(member.name)

    def leave(self, name: str) -> None:
        """Drop a member."""
        if self._members.pop(name, None) is None:
            return
        self.owners = {number: owner for number, owner in self.owners.items() if owner != name}
        if self._rebalancing:
            self._complete_if_all_joined()
        else:
            self.rebalance()

    def heartbeat(self, name: str, generation: int, request: Request) -> None:
        """Receive a heartbeat."""
        verdict = Verdict.TAKEN
        member = self._members.get(name)
        if member is None or generation != self._generation:
            verdict = Verdict.UNKNOWN_MEMBER
        else:
            member.expires_at = self._loop.time() + SESSION_SECONDS
            if self._rebalancing:
                verdict = Verdict.REBALANCING
        self._wire.answer(self._faults.latency(), request, verdict)

    def commit(self, name: str, generation: int, offsets: Mapping[Place, int], request: Request) -> None:
        """Receive offsets of the current generation, or of none if the group has no members."""
        verdict = self._verdict(name, generation)
        if verdict is Verdict.TAKEN:
            for place, offset in offsets.items():
                self.committed[place] = offset
                self._history.entries.append(Committed(self._loop.time(), name, place, offset))
        if self._faults.chance(self._faults.rates.commit_fails):
            return  # accepted or not, the member gets no answer
        self._wire.answer(self._faults.latency(), request, verdict)

    def _verdict(self, name: str, generation: int) -> Verdict:
        if generation == NO_GENERATION:
            return Verdict.UNKNOWN_MEMBER if self._members else Verdict.TAKEN
        if name not in self._members or generation != self._generation:
            return Verdict.UNKNOWN_MEMBER
        return Verdict.TAKEN if self._loop.time() >= self._settled_at else Verdict.REBALANCING
