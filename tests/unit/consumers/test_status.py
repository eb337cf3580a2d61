"""What a replica's gauges say of what it owns."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock, MagicMock

import pytest
from prometheus_client import CollectorRegistry

from consumers.admission.gate import STOPPED_BY_OPERATOR
from consumers.assignment.assignments import Assignments
from consumers.control_effects import ControlEffects
from consumers.limits import By
from consumers.metrics import replica_metrics
from consumers.samples import Samples
from consumers.status import Status
from runtime.kafka.records import Place, Record
from runtime.kafka.topics import Topics
from tests.readiness_fields import documented
from tests.unit.consumers.stage import NUMBER, Stage, a_stage, event_of

PLACE = Place("mentor.pauses.v1", NUMBER)


class Measured:
    """A replica's status over a stage's partition, measured once a second."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.registry = CollectorRegistry()
        self.cpu_share = self.publish_seconds = 0.0
        self.ledgers = SimpleNamespace(unfinished_since=dict[Place, datetime]())
        self.membership = SimpleNamespace(connected=True, end_of=lambda _place: None)
        self.assignments = Assignments(
            stage.clock,
            cast(Any, self.ledgers),
            AsyncMock(),
            MagicMock(),
            MagicMock(),
            MagicMock(),
            drain_seconds=1,
            on_owned=lambda _owned: None,
        )
        self.assignments.joined = True
        self.effects = ControlEffects(
            stage.controls,
            stage.gate,
            stage.control_check,
            stage.clock,
            reopen=lambda: None,
            set_log_level=lambda _: None,
        )
        self.status = Status(
            self.assignments,
            cast(Any, self.membership),
            cast(Any, SimpleNamespace(missing=frozenset())),
            cast(Any, SimpleNamespace(caught_up=True, table=stage.contacts)),
            stage.suppressions,
            self.effects,
            stage.gate,
            None,
            Topics(),
            replica_metrics(self.registry),
            Samples(
                stage.clock,
                self.assignments,
                cast(Any, self.membership),
                stage.gate,
                12,
                cpu_seconds=lambda: self.cpu_share * stage.clock.monotonic(),
                publish_seconds=lambda: self.publish_seconds,
            ),
        )

    def own(self) -> None:
        """Own the stage's partition."""
        self.assignments._owned[NUMBER] = self.stage.assignment

    def read(self, name: str, **labels: str) -> float | None:
        """Return a measure."""
        return self.registry.get_sample_value(f"pause_notifications_{name}", labels)

    @property
    def taken(self) -> float | None:
        """Return how many events of pauses count as taken, by the processing and by the status together."""
        name, topic = "events_taken_total", PLACE.topic
        return sum(count or 0 for count in (self.read(name, topic=topic), self.stage.sample(name, topic=topic)))

    @property
    def limits(self) -> list[str]:
        """Return what limits, by the metric."""
        return [by for by in By if self.read("limit", by=by)]

    @property
    def lag(self) -> float | None:
        """Return the lag of the stage's partition."""
        return self.read("lag_seconds", partition=str(NUMBER))

    @property
    def oldest(self) -> float | None:
        """Return when its oldest unfinished record was appended."""
        return self.read("oldest_unfinished_timestamp_seconds", partition=str(NUMBER))


@pytest.fixture(name="measured")
async def _measured() -> AsyncIterator[Measured]:
    """Yield a status that measures."""
    async with a_stage() as stage:
        measured = Measured(stage)
        running = asyncio.create_task(measured.status.measure_forever(stage.clock))
        yield measured
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


class TestLag:
    """How far behind a partition is, for each that is owned."""

    async def test_nobody_knows_the_lag_of_what_is_not_owned(self, measured: Measured) -> None:
        """Without an owner there is no lag, not a lag of 0; with one it is 0 when all is committed."""
        await measured.stage.clock.advance(1)
        before = measured.lag
        measured.stage.assignment.open = True
        measured.own()
        await measured.stage.clock.advance(1)

        assert (None, 0) == (before, measured.lag)
        assert measured.oldest is None

    async def test_what_is_finished_and_not_committed_lags(self, measured: Measured) -> None:
        """A record that is finished lags until its offset is committed: the next owner would read it again."""
        stage = measured.stage
        stage.assignment.open = True
        measured.own()
        record = stage.append(event_of())
        await stage.process(record, seconds=30)
        lag, finished = measured.lag, stage.finished()
        waited = (stage.clock.now() - record.appended_at).total_seconds()
        stage.assignment.lanes.committed(stage.assignment.lanes.committable())
        await stage.clock.advance(1)

        assert finished
        assert (waited, 0) == (lag, measured.lag)

    async def test_a_ledger_that_is_read_lags(self, measured: Measured) -> None:
        """While a ledger is read, lag counts from the record at the committed offset; before, it is not known."""
        measured.own()
        await measured.stage.clock.advance(1)
        before, since = measured.lag, measured.stage.clock.now()
        measured.ledgers.unfinished_since[PLACE] = since
        await measured.stage.clock.advance(5)

        assert (None, 5) == (before, measured.lag)
        assert since.timestamp() == measured.oldest


class TestTaken:
    """How many events a replica has to end: what the promise of 60 seconds is counted from."""

    @staticmethod
    async def _halted(measured: Measured) -> list[Record]:
        """Halt all sending, and have five events appended: two of a mentor who has an earlier one, one that is read."""
        stage = measured.stage
        stage.assignment.open = True
        measured.own()
        measured.membership.end_of = lambda place: len(stage.log.records.get(place, []))
        stage.heartbeat = math.inf  # it stays in the group
        stage.gate.halt_for("tests", STOPPED_BY_OPERATOR)
        await stage.clock.advance(1)
        return [stage.append(event_of(event_id=str(number))) for number in range(5)]

    async def test_events_that_wait_in_a_halt_count_after_a_minute(self, measured: Measured) -> None:
        """A full replica reads nothing, and a mentor's next event waits for the one before: all were accepted."""
        records = await self._halted(measured)
        await measured.stage.process(*records[:2], seconds=58)
        begun = measured.taken
        await measured.stage.clock.advance(4)

        assert (1, 5) == (begun, measured.taken)

    async def test_each_event_counts_once(self, measured: Measured) -> None:
        """What has waited does not count again when it begins after the halt, nor when it is tried again."""
        records = await self._halted(measured)
        await measured.stage.process(*records[:2], seconds=90)
        measured.stage.gate.resume("tests")
        await measured.stage.process(*records[2:], seconds=90)

        assert measured.stage.finished()
        assert 5 == measured.taken == measured.stage.sample("dispatch_seconds_count")

    async def test_what_ends_without_a_dispatch_does_not_count(self, measured: Measured) -> None:
        """A redelivery that is recognized within the minute is no event."""
        records = await self._halted(measured)
        measured.stage.gate.resume("tests")
        again = measured.stage.append(event_of(event_id="0"))
        await measured.stage.process(*records, again, seconds=90)

        assert 5 == measured.taken

    async def test_what_waited_before_the_partition_was_owned_counts_when_it_begins(self, measured: Measured) -> None:
        """A former owner may have counted it while it waited."""
        records = await self._halted(measured)
        measured.stage.assignment = measured.stage.assigned(measured.stage.assignment.ledger)
        measured.stage.assignment.open = True
        measured.own()
        await measured.stage.process(records[0], seconds=90)

        assert 1 == measured.taken


async def test_a_dead_kafka_is_seen(measured: Measured) -> None:
    """A replica that lost its brokers says so, whatever it owned."""
    before = measured.read("kafka_connected"), measured.read("ready")
    measured.membership.connected = False

    after = measured.read("kafka_connected"), measured.read("ready")

    assert [(1, 1), (0, 0)] == [before, after]


async def test_rebalances_are_counted(measured: Measured) -> None:
    """Each assignment counts once, and the seconds that it pauses what is owned."""
    measured.assignments.assign(set())
    measured.assignments._pause()
    await measured.stage.clock.advance(3)

    assert 1 == measured.read("rebalances_total")
    assert 3 == measured.read("paused_by_rebalance_seconds_total")


async def test_every_field_of_the_probe_is_explained(measured: Measured) -> None:
    """The deploy document has a row for each field of a replica, and for no other."""
    assert documented("replica") == {"ok", *measured.status.detail()}


class TestLimit:
    """What limits, as metrics and in the body of the probe."""

    async def test_nothing_is_wanted_before_it_is_measured(self, measured: Measured) -> None:
        """Until the first measure there is no number, so that nobody scales by it."""
        assert math.isnan(measured.read("replicas_wanted") or 0)
        assert [] == measured.limits

    async def test_a_busy_cpu(self, measured: Measured) -> None:
        """The average of some seconds counts; what limits is 1, the others are 0, and the probe tells the same."""
        another = measured.stage.assigned(measured.stage.assignment.ledger)
        another.number = NUMBER + 1
        measured.assignments._owned[another.number] = another
        measured.own()
        measured.stage.assignment.open = another.open = True
        measured.cpu_share = 0.95
        await measured.stage.clock.advance(2)
        early = measured.limits
        await measured.stage.clock.advance(40)

        assert ["none"] == early
        assert ["cpu"] == measured.limits
        told = measured.status.detail()
        assert "cpu" == told["limit"]
        assert "More replicas help: the CPU is used to 9" in str(told["more_replicas"])
        assert told["replicas_wanted"] == measured.read("replicas_wanted")

    async def test_a_halt(self, measured: Measured) -> None:
        """A halt counts at once."""
        measured.stage.gate.halt_for("tests", "credentials")
        await measured.stage.clock.advance(1)

        assert ["halt"] == measured.limits

    async def test_a_slow_kafka(self, measured: Measured) -> None:
        """Kafka limits if it takes long while something is on its way."""
        measured.stage.assignment.open = True
        measured.own()
        measured.publish_seconds, measured.stage.gate.in_flight = 2.0, 3
        await measured.stage.clock.advance(30)

        assert ["kafka"] == measured.limits
