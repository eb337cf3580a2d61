"""The table of controls: which records count, what is in force, and what each change leads to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from consumers.admission.gate import CONTROLS_NOT_READ, STOPPED_BY_OPERATOR, Gate
from consumers.control_effects import ControlEffects
from consumers.delivery.control_check import ControlCheck
from runtime.controls import MAX_IN_FORCE, Controls, publish_control
from runtime.kafka.records import Place, Record
from schemas.controls import CONTROLS_TOPIC, Control, ControlKind, control_json
from schemas.signatures import NO_KEYS, SigningKeys
from tests.fakes.clock import FakeClock
from tests.fakes.kafka_log import APPENDED_AT, FakeLog
from tests.fakes.publisher import FakePublisher
from tests.signing import KEYS
from tests.unit.schemas.test_controls import HOUR, NOW, cancel, control

STOP = control()
HOLD = control(ControlKind.SOURCE_HELD, source="/hr")
DEBUG = control(ControlKind.LOG_LEVEL, level="debug", until=NOW + HOUR)
STRANGERS = SigningKeys([bytes(range(101, 133))])


def lifted(one: Control) -> Control:
    """Return a control as Jonas lifts it."""
    return control(one.kind, source=one.source, id=one.id, since=one.since, level=one.level, until=one.until,
                   lifted=True, by="jonas", reason="mended")  # fmt: skip


def take(table: Controls, *controls: Control) -> None:
    """Have a table take controls."""
    for one in controls:
        table.take(one.key, control_json(one))


def table_of(*controls: Control, **options: Any) -> Controls:
    """Return a table that holds the whole topic."""
    table = Controls(**options)
    take(table, *controls)
    table.current = True
    return table


class TestTable:
    """What is in force."""

    def test_each_control_is_found(self) -> None:
        """Oldest first."""
        older = cancel(at=NOW - HOUR)
        table = table_of(STOP, HOLD, older, DEBUG)

        assert (older, STOP, HOLD, DEBUG) == table.in_force(NOW)
        assert table.stopped
        assert {"/hr"} == table.held
        assert (True, False) == (table.holds("/hr"), table.holds("/it"))
        assert table.cancels("/hr", "any", NOW - HOUR, NOW)
        assert "debug" == table.log_level(NOW)

    @pytest.mark.parametrize("one", [STOP, HOLD, cancel(), DEBUG])
    @pytest.mark.parametrize("by_null", [False, True])
    def test_its_twin_lifts_it(self, one: Control, *, by_null: bool) -> None:
        """So does a null value of its key."""
        table = table_of(one)
        table.take(one.key, None if by_null else control_json(lifted(one)))

        assert () == table.in_force(NOW)
        assert [False] * 3 == [table.stopped, table.holds("/hr"), table.cancels("/hr", "any", NOW, NOW)]

    def test_what_has_ended_does_not_apply(self) -> None:
        """A log level and a cancel have an end."""
        table = table_of(DEBUG, cancel(until=NOW + HOUR))

        assert () == table.in_force(NOW + HOUR)
        assert table.log_level(NOW + HOUR) is None
        assert not table.cancels("/hr", "any", NOW, NOW + HOUR)

    @given(st.none() | st.binary(max_size=40), st.binary(max_size=200))
    def test_an_unreadable_record_changes_nothing_and_is_counted(self, key: bytes | None, value: bytes) -> None:
        """Strangers may write any bytes."""
        faults: list[str] = []
        table = table_of(STOP, on_fault=faults.append)
        table.take(key, value)

        assert (["unreadable"], (STOP,)) == (faults, table.in_force(NOW))

    def test_a_table_is_bounded(self) -> None:
        """A new control beyond the bound is refused; one in force can still be changed."""
        faults: list[str] = []
        table = Controls(on_fault=faults.append)
        take(table, *(cancel(id=f"{number:08x}") for number in range(MAX_IN_FORCE)))
        take(table, STOP, cancel(id="00000000", by="jonas"))

        assert (["too_many"], False, MAX_IN_FORCE) == (faults, table.stopped, len(table.in_force(NOW)))
        assert "jonas" in {one.by for one in table.in_force(NOW)}

    def test_each_change_is_audited(self) -> None:
        """Who, when and why, once: as it comes, or when the topic was read."""
        table, fresh = table_of(HOLD), Controls()
        with structlog.testing.capture_logs() as logs:
            take(table, STOP, STOP, lifted(STOP), lifted(STOP))
            take(fresh, HOLD, cancel())
            table.replace(fresh)

        assert [
            ("controls.changed", "sending_stopped", True, "amara", "wrong text"),
            ("controls.changed", "sending_stopped", False, "jonas", "mended"),
            ("controls.changed", "cancel:0123abcd", True, "amara", "wrong text"),
        ] == [(one["event"], one["control"], one["in_force"], one["by"], one["reason"]) for one in logs]

    def test_the_audit_names_what_a_change_replaces(self) -> None:
        """A second stop says who stopped it before, when and why; the first one and the one after a start do not."""
        table = table_of()
        again = replace(STOP, by="jonas", reason="worse", at=NOW + HOUR)
        with structlog.testing.capture_logs() as logs:
            take(table, STOP, again, lifted(again), STOP)

        assert [
            (None, None, None),
            ("amara", NOW.isoformat(), "wrong text"),
            ("jonas", (NOW + HOUR).isoformat(), "worse"),
            (None, None, None),
        ] == [(one.get("before_by"), one.get("before_at"), one.get("before_reason")) for one in logs]

    def test_a_fresh_table_replaces_the_old_one(self) -> None:
        """A recreated topic is read into a table of its own; until then the old controls stay in force."""
        table = table_of(STOP)
        fresh = table.fresh()
        assert ((STOP,), (), False) == (table.in_force(NOW), fresh.in_force(NOW), fresh.current)

        table.replace(fresh)
        assert ((), True) == (table.in_force(NOW), table.current)


class TestProof:
    """A record counts only if one of our keys signed it."""

    @pytest.mark.parametrize(
        ("signed_by", "checked_by", "fault"),
        [(KEYS, KEYS, None), (NO_KEYS, KEYS, "missing"), (STRANGERS, KEYS, "unknown_key"), (NO_KEYS, NO_KEYS, None)],
    )
    def test_only_signed_records_count(
        self, signed_by: SigningKeys, checked_by: SigningKeys, fault: str | None
    ) -> None:
        """Without keys nothing can be proven, and every record counts."""
        faults: list[str] = []
        value = control_json(STOP)
        headers = signed_by.signed(CONTROLS_TOPIC, STOP.key, value, [])
        record = Record(CONTROLS_TOPIC, 0, 0, STOP.key, value, headers, APPENDED_AT, 1)

        assert (fault is None) == Controls(on_fault=faults.append).believes(record, checked_by)
        assert ([] if fault is None else [fault]) == faults

    async def test_what_is_published_is_believed(self) -> None:
        """In the only partition."""
        log, table = FakeLog(), Controls()
        await publish_control(FakePublisher(log), CONTROLS_TOPIC, KEYS, HOLD)
        (record,) = log.records[Place(CONTROLS_TOPIC, 0)]
        table.take(record.key, record.value)

        assert table.believes(record, KEYS)
        assert (HOLD,) == table.in_force(NOW)


class Replica:
    """What the controls have an effect on."""

    def __init__(self, controls: Controls) -> None:
        self.clock = FakeClock()
        self.controls = controls
        self.gate = Gate(self.clock, max_in_flight=1, rate=1)
        self.levels: list[str | None] = []
        self.reopened = 0
        self.effects = ControlEffects(
            controls,
            self.gate,
            ControlCheck(controls, self.clock),
            self.clock,
            reopen=self._reopen,
            set_log_level=self.levels.append,
        )

    def _reopen(self) -> None:
        self.reopened += 1

    def take(self, *controls: Control) -> None:
        """Take controls, one by one."""
        for one in controls:
            take(self.controls, one)
            self.effects.apply()


class TestEffects:
    """What follows from a change."""

    def test_nothing_is_sent_before_the_controls_are_read(self) -> None:
        """A replica that starts must not send for a moment in spite of a stop."""
        replica = Replica(Controls())
        assert CONTROLS_NOT_READ == replica.gate.halt

        replica.controls.replace(Controls())
        replica.effects.apply()
        assert replica.gate.halt is None

    def test_a_stop_halts_the_gate_until_the_start(self) -> None:
        """With a reason of its own."""
        replica = Replica(table_of())
        replica.take(STOP)
        assert (STOPPED_BY_OPERATOR, True) == (replica.gate.halt, replica.gate.stopped)

        replica.take(lifted(STOP))
        assert (None, False) == (replica.gate.halt, replica.gate.stopped)

    async def test_a_log_level_resets_itself(self) -> None:
        """Also without another record."""
        replica = Replica(table_of())
        until = replica.clock.now() + timedelta(minutes=30)
        replica.take(control(ControlKind.LOG_LEVEL, level="debug", until=until))
        assert ["debug"] == replica.levels

        await replica.clock.advance(1800)
        replica.effects.apply()
        assert ["debug", None] == replica.levels

    @pytest.mark.parametrize(
        ("controls", "reopened"), [((STOP,), 0), ((HOLD, HOLD), 1), ((HOLD, lifted(HOLD)), 2), ((cancel(),), 1)]
    )
    def test_what_was_left_is_read_again_when_it_may_go_on(self, controls: tuple[Control, ...], reopened: int) -> None:
        """After a release, and after a cancel: its events end though their source is held."""
        replica = Replica(table_of())
        replica.take(*controls)

        assert reopened == replica.reopened
