"""Read dispatches back in rare cases: similar ids, late records, records of another release."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec import structs

from consumers.delivery.decisions import Delivery, new_dispatch
from runtime.kafka.records import Record
from runtime.kafka.topic_watch import ANEW, TopicRecreated
from schemas.dispatch import Dispatch, Recipient, Status, dispatch_json, parse_dispatch
from tests.unit.consumers.stage import NUMBER, Stage, a_stage, event_of
from tests.unit.dispatches import MENTOR, changed

SENT = changed(MENTOR, status="sent", send=1, message_id="theirs")
FAILED = changed(MENTOR, status="failed", send=1, reason="attempts_exhausted")


@pytest.fixture(name="stage")
async def _stage() -> AsyncIterator[Stage]:
    """Yield a partition in use; mentor-042 and their coordinator are known."""
    async with a_stage() as stage:
        yield stage


def dispatch_of(record: Record, *recipients: Recipient) -> Dispatch:
    """Return the dispatch of the first event with these recipients."""
    begun = new_dispatch(Delivery(event=event_of(), origin=record.origin, appended_at=record.appended_at))
    return structs.replace(begun, recipients=recipients)


async def test_a_late_record_counts_before_a_reopened_dispatch_is_sent(stage: Stage) -> None:
    """It is read while the reopened dispatch waits; a recipient who had the e-mail gets no second one."""
    stage.gate.set_share(0, 12)
    record = stage.append(event_of())
    stage.former_owner_writes(dispatch_of(record, FAILED))
    await stage.process(record)
    stage.former_owner_writes(dispatch_of(record, SENT))

    stage.gate.set_share(12, 12)
    await stage.clock.advance(20)

    assert [] == stage.sender.calls
    assert "theirs" == stage.last.recipients[0].message_id
    assert stage.finished()


async def test_a_reopened_dispatch_ends_as_one_record(stage: Stage) -> None:
    """Its last record is complete, so the ledger keeps no other."""
    record = stage.append(event_of())
    stage.former_owner_writes(dispatch_of(record, FAILED))

    await stage.process(record)

    assert ["sending", "ses", "sent"] == stage.journal
    known = stage.assignment.ledger.get(event_of().dispatch_id)
    assert known is not None
    assert known.final
    assert [2] == known.offsets
    assert [] == stage.letters


async def test_an_unreadable_record_of_a_newer_release_is_not_sent_again(stage: Stage) -> None:
    """After a roll-back only its intent may be readable: the outcome is not guessed, and a person is told."""
    record = stage.append(event_of())
    stage.former_owner_writes(dispatch_of(record, changed(MENTOR, status="sending", send=1)))
    stage.assignment.ledger.add_unreadable(1, event_of().dispatch_id)

    await stage.process(record, seconds=20)

    assert ["unknown"] == [letter.reason for letter in stage.letters]
    assert ["dead letter unknown"] == stage.journal
    assert [] == stage.sender.calls
    assert stage.finished()


async def test_of_a_dispatch_no_record_is_readable(stage: Stage) -> None:
    """A newer release has ended it, so there is nothing to tell a person."""
    record = stage.append(event_of())
    stage.assignment.ledger.add_unreadable(0, event_of().dispatch_id)

    await stage.process(record, seconds=20)

    assert [] == stage.journal
    assert stage.finished()


async def test_a_status_of_a_newer_release_is_final_and_unknown(stage: Stage) -> None:
    """A newer release knew more, so nothing is sent."""
    record = stage.append(event_of())
    value = dispatch_json(dispatch_of(record, SENT)).replace(b'"sent"', b'"deferred"')
    newer = parse_dispatch(value)
    assert newer is not None
    stage.former_owner_writes(newer)

    await stage.process(record)

    assert [] == stage.sender.calls
    assert Status.UNKNOWN == stage.last.recipients[0].status
    assert stage.finished()


async def test_a_record_that_is_no_longer_there_is_not_sent_again(stage: Stage) -> None:
    """The dispatch was final, so nothing is sent."""
    record = stage.append(event_of())
    stage.assignment.ledger.add_read(99, dispatch_of(record, SENT))

    await stage.process(record)

    assert [] == stage.journal
    assert NUMBER == stage.assignment.number


async def test_a_dispatch_that_ended_in_a_recreated_topic_is_not_sent_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its offset there is another record by now, which must not be read for it."""
    record = stage.append(event_of())
    stage.former_owner_writes(dispatch_of(record, SENT))

    async def recreated(_number: int, _offset: int) -> Dispatch | None:
        stage.assignment.ledger.forget_offsets()
        raise TopicRecreated("dispatches", ANEW)

    monkeypatch.setattr(stage, "read", recreated)
    await stage.process(record)

    assert [] == stage.journal
    assert [] == stage.sender.calls
    assert stage.finished()
