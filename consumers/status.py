"""What a replica reports of itself: whether it is ready, the details for a person, and its gauges."""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime

import msgspec

from consumers.admission.gate import Gate
from consumers.assignment.assignments import Assignments
from consumers.assignment.membership import Membership
from consumers.assignment.start_offsets import StartOffsets
from consumers.contacts import Contacts
from consumers.control_effects import ControlEffects
from consumers.limits import NOT_MEASURED, By, limit_of
from consumers.metrics import Metrics
from consumers.samples import Samples
from consumers.suppressions import Suppressions
from runtime.clock import Clock
from runtime.kafka.rights import RightsWatch
from runtime.kafka.table_follower import TableFollower
from runtime.kafka.topics import Topics
from runtime.release import release
from schemas.controls import ControlKind

_MEASURE_SECONDS = 1.0
_SHOWN = 20
"""How many controls the details name at most."""


class Status:
    """Answers the probe for readiness, and sets the gauges."""

    def __init__(
        self,
        assignments: Assignments,
        membership: Membership,
        start_offsets: StartOffsets,
        follower: TableFollower[Contacts],
        suppressions: Suppressions,
        controls: ControlEffects,
        gate: Gate,
        rights: RightsWatch | None,
        topics: Topics,
        metrics: Metrics,
        samples: Samples,
    ) -> None:
        self._assignments = assignments
        self._membership = membership
        self._start_offsets = start_offsets
        self._follower = follower
        self._suppressions = suppressions
        self._controls = controls
        self._gate = gate
        self._rights = rights
        self._topics = topics
        self._metrics = metrics
        self._samples = samples
        self._limit = NOT_MEASURED
        self._rebalances, self._paused_seconds = 0, 0.0
        metrics.replicas_wanted.set(math.nan)
        metrics.kafka_connected.set_function(lambda: membership.connected)
        metrics.ready.set_function(lambda: self.ready)

    @property
    def ready(self) -> bool:
        """Return whether all is read, and Kafka is connected and grants the rights needed; standby is ready, too."""
        return (
            self._assignments.joined
            and not self._assignments.stopping
            and not self._missing_rights
            and not self._start_offsets.missing
            and self._follower.caught_up
            and self._suppressions.current
            and self._controls.current
            and self._membership.connected
            and all(assignment.open for assignment in self._assignments)
        )

    @property
    def _lanes_left(self) -> int:
        return sum(lanes.left for lanes in self._assignments.lanes)

    @property
    def _missing_rights(self) -> list[str]:
        return [] if self._rights is None else [str(right) for right in self._rights.missing]

    def detail(self) -> dict[str, object]:
        """Return the details for a person."""
        oldest = oldest_unfinished(self._assignments)
        return {
            "version": release(),
            "joined": self._assignments.joined,
            "kafka_connected": self._membership.connected,
            "missing_rights": self._missing_rights,
            "missing_topics": sorted(self._start_offsets.missing),
            "contacts_read": self._follower.caught_up,
            "suppressions_read": self._suppressions.current,
            "controls_read": self._controls.current,
            "controls": [msgspec.to_builtins(one) for one in self._controls.in_force[:_SHOWN]],
            "partitions": sorted(assignment.number for assignment in self._assignments),
            "ledgers_being_read": sorted(one.number for one in self._assignments if not one.open),
            "limit": self._limit.by,
            "more_replicas": self._limit.sentence,
            "replicas_wanted": self._limit.replicas_wanted,
            "halt": self._gate.halt,
            "gate_rate": round(self._gate.rate, 3),
            "waiting_at_gate": self._gate.waiting,
            "sends_in_flight": self._gate.in_flight,
            "records_held": self._assignments.held,
            "lanes_left": self._lanes_left,
            "oldest_unfinished": oldest.isoformat() if oldest else None,
        }

    async def measure_forever(self, clock: Clock) -> None:
        """Set the gauges once a second, until cancelled."""
        while True:
            await clock.sleep(_MEASURE_SECONDS)
            self._measure_gate()
            self._measure_tables()
            self._measure_controls()
            self._measure_owned()
            self._measure_rebalances()
            self._measure_lag(clock.now())
            self._count_overdue()
            self._measure_limit()

    def _measure_limit(self) -> None:
        self._limit = limit_of(self._samples.take())
        self._metrics.replicas_wanted.set(self._limit.replicas_wanted)
        for by in By:
            self._metrics.limit.labels(by=by).set(by is self._limit.by)

    def _measure_gate(self) -> None:
        metrics, gate = self._metrics, self._gate
        metrics.in_flight.set(gate.in_flight)
        metrics.gate_rate.set(gate.rate)
        metrics.gate_waiting.set(gate.waiting)
        metrics.halted.clear()
        if gate.halt is not None:
            metrics.halted.labels(reason=gate.halt).set(1)

    def _measure_tables(self) -> None:
        metrics, contacts = self._metrics, self._follower.table
        metrics.contacts.set(contacts.valid)
        metrics.contacts_invalid.set(contacts.invalid)
        metrics.suppressions.set(len(self._suppressions))

    def _measure_controls(self) -> None:
        counted = Counter(one.kind for one in self._controls.in_force)
        for kind in ControlKind:
            self._metrics.controls_in_force.labels(control=kind).set(counted[kind])
        self._metrics.lanes_left.set(self._lanes_left)

    def _measure_owned(self) -> None:
        metrics, owned = self._metrics, self._assignments
        metrics.partitions.set(len(owned))
        metrics.held.set(owned.held)
        metrics.ledger_entries.set(sum(len(assignment.ledger) for assignment in owned))
        metrics.ledger_dropped.set(sum(assignment.ledger.dropped for assignment in owned))

    def _measure_rebalances(self) -> None:
        rebalances, paused_seconds = self._assignments.rebalances, self._assignments.paused_seconds
        self._metrics.rebalances.inc(rebalances - self._rebalances)
        self._metrics.paused_by_rebalance.inc(paused_seconds - self._paused_seconds)
        self._rebalances, self._paused_seconds = rebalances, paused_seconds

    def _measure_lag(self, now: datetime) -> None:
        metrics = self._metrics
        for gauge in (metrics.lag_seconds, metrics.oldest_unfinished, metrics.lag_records):
            gauge.clear()
        for assignment in self._assignments:
            partition = str(assignment.number)
            unfinished = self._assignments.oldest_unfinished(assignment)
            uncommitted = self._assignments.oldest_uncommitted(assignment)
            if unfinished is not None:
                metrics.oldest_unfinished.labels(partition=partition).set(unfinished.timestamp())
            if uncommitted is not None or assignment.open:
                lag = (now - uncommitted).total_seconds() if uncommitted else 0.0
                metrics.lag_seconds.labels(partition=partition).set(max(lag, 0.0))
        for lanes in self._assignments.lanes:
            for place in lanes.places:
                end = self._membership.end_of(place)
                if end is not None:
                    labels = {"topic": self._topics.plain(place.topic), "partition": str(place.partition)}
                    metrics.lag_records.labels(**labels).set(max(end - lanes.watermark(place), 0))

    def _count_overdue(self) -> None:
        """Count the events that wait for a minute before they begin: in a halt a full replica takes none of them."""
        for assignment in self._assignments:
            for place in set(assignment.lanes.places) - assignment.lanes.apart:
                end = self._membership.end_of(place)
                if end is not None:
                    overdue = assignment.become_overdue(place, end)
                    self._metrics.events_taken.labels(topic=self._topics.plain(place.topic)).inc(overdue)


def oldest_unfinished(assignments: Assignments) -> datetime | None:
    """Return when the oldest unfinished record was appended, or None if all are finished."""
    oldest = (assignments.oldest_unfinished(assignment) for assignment in assignments)
    return min((appended_at for appended_at in oldest if appended_at is not None), default=None)
