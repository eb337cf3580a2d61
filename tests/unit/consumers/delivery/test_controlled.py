"""Events under a control: held, cancelled, or stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from consumers.admission.gate import STOPPED_BY_OPERATOR
from runtime.kafka.records import Place
from runtime.settings import LostAnswerPolicy
from schemas.controls import Control, ControlKind, control_json
from schemas.dispatch import Reason, Status
from schemas.events import REPLICA_SOURCE
from schemas.placement import partition_for
from tests.fakes.email import LOSE_ANSWER
from tests.fakes.kafka_log import PARTITIONS
from tests.unit.consumers.delivery.test_suppressed import escalations, statuses
from tests.unit.consumers.stage import NUMBER, Stage, a_stage, event_of

PAUSES = Place("mentor.pauses.v1", NUMBER)
NEIGHBOUR = next(f"mentor-{number}" for number in range(100) if partition_for(f"mentor-{number}", PARTITIONS) == NUMBER)
CANCELLED = (Status.SUPPRESSED, Reason.CANCELLED)


@pytest.fixture(name="stage")
async def _stage() -> AsyncIterator[Stage]:
    """Yield a partition in use; mentor-042 and their coordinator are known."""
    async with a_stage() as stage:
        yield stage


def put(stage: Stage, kind: ControlKind, **fields: Any) -> None:
    """Put a control in force."""
    one = Control(kind=kind, **{"by": "amara", "at": stage.clock.now(), "reason": "a test", **fields})
    stage.controls.take(one.key, control_json(one))
    stage.control_check.interrupt()


def hold(stage: Stage, source: str = "/tests", *, lifted: bool = False) -> None:
    """Hold or release a source."""
    put(stage, ControlKind.SOURCE_HELD, source=source, lifted=lifted)


def cancel(stage: Stage, **fields: Any) -> None:
    """Cancel all events that the source of the tests has published."""
    start = stage.clock.now() - timedelta(hours=1)
    fields = {"at": stage.clock.now() + timedelta(hours=1), "since": start, **fields}
    put(stage, ControlKind.CANCEL, **{"id": "0123abcd", "source": "/tests", **fields})


class TestHeld:
    """The source of an event is held."""

    async def test_its_lane_stays_in_the_log(self, stage: Stage) -> None:
        """Nothing is written, sent or committed; it takes no room."""
        hold(stage)
        await stage.process(*(stage.append(event_of(event_id=f"{number}")) for number in range(3)))

        assert [] == stage.journal
        assert (0, 0, 1) == (
            stage.assignment.lanes.held,
            stage.assignment.lanes.held_bytes,
            stage.assignment.lanes.left,
        )
        assert {} == stage.assignment.lanes.committable()
        assert {} == stage.assignment._taken_at

    async def test_others_flow(self, stage: Stage) -> None:
        """Other mentors' events of other sources, behind it in the same partition; the commit waits."""
        stage.add_mentor(NEIGHBOUR)
        hold(stage)
        await stage.process(
            stage.append(event_of()),
            stage.append(event_of(source="/other", mentor_id=NEIGHBOUR), key=NEIGHBOUR.encode()),
        )

        assert ["sending", "ses", "sent"] == stage.journal
        assert {} == stage.assignment.lanes.committable()

    async def test_later_events_of_its_mentor_wait_behind_it(self, stage: Stage) -> None:
        """A mentor's events are sent in order, whatever their source; one before it is sent and committed."""
        hold(stage)
        others = (stage.append(event_of(event_id=f"{number}", source="/other")) for number in range(2))
        await stage.process(next(others), stage.append(event_of()), next(others))

        assert ["sending sending", "ses", "ses", "sent sent"] == stage.journal
        assert {PAUSES: 1} == stage.assignment.lanes.committable()

    async def test_one_that_waits_at_the_gate_is_held_too(self, stage: Stage) -> None:
        """It waits nowhere, so nothing of it is left in memory."""
        stage.gate.halt_for("account", "account_paused")
        stage.gate._probe_at = 1e9
        await stage.process(stage.append(event_of()))
        assert 1 == stage.gate.waiting

        hold(stage)
        await stage.clock.advance(0.1)
        assert (0, 0, 1) == (stage.gate.waiting, stage.assignment.lanes.held, stage.assignment.lanes.left)

    async def test_after_its_release_it_is_sent_in_order(self, stage: Stage) -> None:
        """The partition is opened again from what is committed; what was sent meanwhile is known."""
        stage.add_mentor(NEIGHBOUR)
        hold(stage)
        records = [
            stage.append(event_of(event_id="1")),
            stage.append(event_of(event_id="2", source="/other")),
            stage.append(event_of(event_id="3", source="/other", mentor_id=NEIGHBOUR), key=NEIGHBOUR.encode()),
        ]
        await stage.process(*records)
        assert [f"{NEIGHBOUR}@example.org"] == [email.to for email in stage.sender.accepted]

        hold(stage, lifted=True)
        stage.assignment = stage.assigned(stage.assignment.ledger)
        await stage.process(*records)
        assert 5 == len(stage.sender.accepted)
        assert {PAUSES: 3} == stage.assignment.lanes.committable()


class TestCancelled:
    """An event is cancelled."""

    async def test_nothing_is_sent(self, stage: Stage) -> None:
        """Its dispatch is final, and needs no dead letter and no escalation."""
        cancel(stage)
        await stage.process(stage.append(event_of()))

        assert ["suppressed suppressed"] == stage.journal
        assert [CANCELLED] * 2 == statuses(stage.last)
        assert 0 == escalations(stage)
        assert stage.finished()

    async def test_one_that_waits_at_the_gate_ends_at_once(self, stage: Stage) -> None:
        """Also while sending is stopped."""
        stage.gate.halt_for("controls", STOPPED_BY_OPERATOR)
        await stage.process(stage.append(event_of()))
        assert ([], 1) == (stage.journal, stage.gate.waiting)

        cancel(stage)
        await stage.clock.advance(0.1)
        assert (["suppressed suppressed"], 0, True) == (stage.journal, stage.gate.waiting, stage.finished())

    async def test_it_need_not_be_released(self, stage: Stage) -> None:
        """A cancel ends the events of a source that is held."""
        hold(stage)
        cancel(stage)
        await stage.process(stage.append(event_of()))

        assert [CANCELLED] * 2 == statuses(stage.last)

    @pytest.mark.parametrize("fields", [{"source": "/other"}, {"event_type": "another"}])
    async def test_others_are_sent(self, stage: Stage, fields: dict[str, Any]) -> None:
        """Those of other sources and types."""
        cancel(stage, **fields)
        await stage.process(stage.append(event_of()))

        assert [(Status.SENT, None)] * 2 == statuses(stage.last)

    async def test_what_was_sent_stays_sent(self, stage: Stage) -> None:
        """A second delivery finds the outcome."""
        await stage.process(stage.append(event_of()))
        cancel(stage)
        await stage.process(stage.append(event_of()))

        assert [(Status.SENT, None)] * 2 == statuses(stage.last)

    async def test_an_unknown_mentor_is_not_waited_for(self, stage: Stage) -> None:
        """A hundred thousand events of them would otherwise be as many waits, and as many dead letters."""
        stage.contacts.take(b"mentor-042", None)
        cancel(stage)
        await stage.process(stage.append(event_of()), seconds=0.1)

        assert ([CANCELLED], []) == (statuses(stage.last), stage.letters)

    async def test_a_replay_does_not_reopen_it(self, stage: Stage) -> None:
        """Only an address that was suppressed may be free later."""
        cancel(stage)
        await stage.process(stage.append(event_of()))
        carried = stage.last
        stage.controls.take(b"cancel:0123abcd", None)
        await stage.process(stage.append(event_of(), REPLAY="1"))

        assert carried.recipients == stage.last.recipients
        assert [] == stage.sender.accepted

    async def test_an_escalation_that_is_cancelled_is_no_dead_letter(self, stage: Stage) -> None:
        """Somebody decided that the coordinator is not told."""
        cancel(stage, source=REPLICA_SOURCE)
        await stage.process(stage.append(event_of("notice-undelivered", source=REPLICA_SOURCE)))

        assert ([CANCELLED], []) == (statuses(stage.last), stage.letters)


async def test_a_cancelled_event_whose_answer_was_lost_is_unknown() -> None:
    """Its e-mail may have been sent: it is not sent again, and a person looks at it."""
    async with a_stage(lost_answer_policy=LostAnswerPolicy.RECONCILE) as stage:
        stage.sender.will_meet("m@example.org", LOSE_ANSWER)
        await stage.process(stage.append(event_of()), seconds=1)
        cancel(stage)
        await stage.process(seconds=40)

        assert [(Status.UNKNOWN, Reason.ANSWER_LOST), (Status.SENT, None)] == statuses(stage.last)
        assert ["unknown"] == [letter.reason for letter in stage.letters]


async def test_a_stop_withdraws_an_intent_whose_call_has_not_begun(stage: Stage) -> None:
    """However long Kafka takes to store the intent, nothing is sent after the stop."""

    def stop(record: Any) -> None:
        stage._written(record)
        if "sending sending" == stage.journal[-1]:
            stage.gate.halt_for("controls", STOPPED_BY_OPERATOR)

    stage.publisher.replica = stop
    await stage.process(stage.append(event_of()))

    assert ["sending sending", "pending pending"] == stage.journal
    assert [(Status.PENDING, Reason.NOT_CALLED)] * 2 == statuses(stage.last)
