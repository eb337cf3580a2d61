"""
A fleet of replicas as queues that fluid flows through, one for each partition. No I/O, no clock.

What a replica measures is given to `consumers.limits`, so that the fleet wants what a real one would want.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from consumers.limits import NOT_MEASURED, Limit, Measures, limit_of

PARTITIONS = 12
STEP_SECONDS = 5
EMAILS_AN_EVENT = 2
MAX_IN_FLIGHT = 64
CPU_SECONDS_A_SEND = 0.41e-3
"""Measured: docs/performance.md, "CPU of 1,000 sends"."""
REBALANCE_SECONDS = 2.4
"""Measured: the longest gap of a partition in a rolling update at 100 events a second."""
START_SECONDS = 15
"""From a pod's creation until it joins the group."""
PUBLISH_SECONDS = 0.005

_NEGLIGIBLE = 1e-6


@dataclass(frozen=True)
class Surroundings:
    """What is so at one moment."""

    events_a_second: float
    burst: float
    """Events that come at once."""
    account_rate: float
    """E-mails a second that SES accepts."""
    ses_seconds: float
    """How long SES takes for one."""
    halted: bool


@dataclass
class _Partition:
    waiting: deque[list[float]] = field(default_factory=deque)
    """When events came, and how many are left of them."""

    @property
    def size(self) -> float:
        return sum(count for _, count in self.waiting)

    def add(self, now: float, count: float) -> None:
        if count > 0:
            self.waiting.append([now, count])

    def take(self, now: float, count: float) -> list[tuple[float, float]]:
        """Return the delays of what leaves, each with the number of events."""
        left: list[tuple[float, float]] = []
        while self.waiting and count > _NEGLIGIBLE:
            came, there = self.waiting[0]
            leaving = min(there, count)
            count -= leaving
            left.append((now - came, leaving))
            if there - leaving <= _NEGLIGIBLE:
                self.waiting.popleft()
            else:
                self.waiting[0][1] = there - leaving
        return left


class Fleet:
    """Replicas that own the partitions by range."""

    def __init__(self, members: int) -> None:
        self.members = members
        self.paused_seconds = 0.0
        self.rebalances = 0
        self._partitions = [_Partition() for _ in range(PARTITIONS)]
        self._measured: list[Measures] = []

    @property
    def limit(self) -> Limit:
        """Return what the replica says that wants most."""
        said = (limit_of(measures) for measures in self._measured)
        return max(said, key=lambda limit: limit.replicas_wanted, default=NOT_MEASURED)

    @property
    def lag(self) -> float:
        """Return how many events wait."""
        return sum(partition.size for partition in self._partitions)

    def step(self, now: float, members: int, around: Surroundings) -> list[tuple[float, float]]:
        """Let a step pass, and return the delays of the events that were sent, each with their number."""
        open_seconds = float(STEP_SECONDS)
        if members != self.members:
            self.members, self.rebalances = members, self.rebalances + 1
            self.paused_seconds += REBALANCE_SECONDS
            open_seconds -= REBALANCE_SECONDS
        for partition in self._partitions:
            partition.add(now, (around.events_a_second * STEP_SECONDS + around.burst) / PARTITIONS)
        self._measured, sent = [], []
        for owned in _owned(members):
            delays, measures = self._replica(now, owned, around, open_seconds)
            sent += delays
            self._measured.append(measures)
        return sent

    def _replica(
        self, now: float, owned: range, around: Surroundings, seconds: float
    ) -> tuple[list[tuple[float, float]], Measures]:
        rate = around.account_rate * len(owned) / PARTITIONS
        able = min(rate, MAX_IN_FLIGHT / around.ses_seconds, 1 / CPU_SECONDS_A_SEND)
        room = 0.0 if around.halted else able * seconds / EMAILS_AN_EVENT
        theirs = sorted((self._partitions[number] for number in owned), key=lambda partition: partition.size)
        sent: list[tuple[float, float]] = []
        for place, partition in enumerate(theirs):
            delays = partition.take(now, room / (len(theirs) - place))
            room -= sum(count for _, count in delays)
            sent += delays
        emails = sum(count for _, count in sent) * EMAILS_AN_EVENT / seconds
        held = sum(partition.size for partition in theirs)
        oldest = min((partition.waiting[0][0] for partition in theirs if partition.waiting), default=now)
        return (
            sent,
            Measures(
                owned=frozenset(owned),
                partitions=PARTITIONS,
                opening=False,
                kafka_connected=True,
                publish_seconds=PUBLISH_SECONDS,
                halt="account_paused" if around.halted else None,
                account_rate=around.account_rate,
                gate_rate=rate,
                gate_waiting=1.0 if held > 1 else 0.0,
                emails_a_second=emails,
                in_flight=min(emails * around.ses_seconds, float(MAX_IN_FLIGHT)),
                max_in_flight=MAX_IN_FLIGHT,
                records_held=int(held),
                longest_lane=1,
                lag_seconds=now - oldest,
                cpu=emails * CPU_SECONDS_A_SEND,
            ),
        )


def _owned(members: int) -> list[range]:
    """Return what each member owns, by the range assignor; a member beyond the partitions owns nothing."""
    share, larger = divmod(PARTITIONS, members)
    sizes = [share + 1] * larger + [share] * (members - larger)
    starts = [sum(sizes[:place]) for place in range(members)]
    return [range(start, start + size) for start, size in zip(starts, sizes, strict=True) if size]
