"""Measures a replica once a second, as the averages that tell what limits it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from math import exp

from consumers.admission.gate import Gate
from consumers.assignment.assignments import Assignments
from consumers.assignment.membership import Membership
from consumers.limits import Measures
from runtime.clock import Clock

_AVERAGED_SECONDS = 10.0


class _Averages:
    """Averages whose older values count less and less; one of no values is 0."""

    def __init__(self) -> None:
        self._values: dict[str, float] = {}

    def take(self, seconds: float, **values: float) -> dict[str, float]:
        """Add values that held for so many seconds, and return all averages."""
        weight = 1 - exp(-seconds / _AVERAGED_SECONDS)
        for name, value in values.items():
            before = self._values.get(name, 0.0)
            self._values[name] = before + weight * (value - before)
        return dict(self._values)


class Samples:
    """Takes measures of a replica."""

    def __init__(
        self,
        clock: Clock,
        assignments: Assignments,
        membership: Membership,
        gate: Gate,
        partitions: int,
        *,
        cpu_seconds: Callable[[], float],
        publish_seconds: Callable[[], float],
    ) -> None:
        """*cpu_seconds* tells what the process has used; *publish_seconds* the mean since it was last called."""
        self._clock = clock
        self._assignments = assignments
        self._membership = membership
        self._gate = gate
        self._partitions = partitions
        self._cpu_seconds = cpu_seconds
        self._publish_seconds = publish_seconds
        self._averages = _Averages()
        self._at, self._cpu_used, self._begun = clock.monotonic(), cpu_seconds(), gate.begun

    def take(self) -> Measures:
        """Return the measures as of now."""
        assignments, gate, averages = self._assignments, self._gate, self._averaged()
        uncommitted = [assignments.oldest_uncommitted(one) for one in assignments]
        return Measures(
            owned=frozenset(assignment.number for assignment in assignments),
            partitions=self._partitions,
            opening=not all(assignment.open for assignment in assignments),
            kafka_connected=self._membership.connected,
            publish_seconds=averages["publish_seconds"],
            halt=gate.halt,
            account_rate=gate.account_rate,
            gate_rate=gate.rate,
            gate_waiting=averages["gate_waiting"],
            emails_a_second=averages["emails_a_second"],
            in_flight=averages["in_flight"],
            max_in_flight=gate.max_in_flight,
            records_held=assignments.held,
            longest_lane=max((lanes.longest for lanes in assignments.lanes), default=0),
            lag_seconds=self._lag(min((one for one in uncommitted if one is not None), default=None)),
            cpu=averages["cpu"],
        )

    def _averaged(self) -> dict[str, float]:
        now, used, begun = self._clock.monotonic(), self._cpu_seconds(), self._gate.begun
        seconds = max(now - self._at, 0.001)
        averages = self._averages.take(
            seconds,
            cpu=(used - self._cpu_used) / seconds,
            emails_a_second=(begun - self._begun) / seconds,
            gate_waiting=float(self._gate.waiting > 0),
            in_flight=self._gate.in_flight,
            publish_seconds=self._publish_seconds(),
        )
        self._at, self._cpu_used, self._begun = now, used, begun
        return averages

    def _lag(self, since: datetime | None) -> float:
        return 0.0 if since is None else max((self._clock.now() - since).total_seconds(), 0.0)
