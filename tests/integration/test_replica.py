"""A replica's life: trouble at SES, stops, takeovers and restarts, as seen from outside real processes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from runtime.kafka.records import Place
from schemas.dead_letters import DeadLetterReason
from schemas.dispatch import Dispatch, Reason, Status
from schemas.events import Event
from tests.kafka import Kafka
from tests.mail_order import out_of_order
from tests.processes import Process
from tests.stage import PARTITIONS, Stage, an_event, mentor, open_stage
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="stage")
async def _stage(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    namespace = f"t-{secrets.token_hex(4)}"
    async with open_stage(kafka.bootstrap_servers, namespace, tmp_path_factory.mktemp("replica")) as stage:
        yield stage


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="replica", autouse=True)
async def _replica(stage: Stage) -> Process:
    return await stage.start()


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def _healthy(stage: Stage) -> AsyncIterator[None]:
    """Make SES healthy again after each test."""
    yield
    await stage.ses.set()


def events(count: int) -> list[Event]:
    """Make events of several mentors, evenly spread."""
    return [an_event(mentor_id=mentor(number)) for number in range(count)]


async def halts_for(replica: Process, reason: str | None) -> bool:
    """Return whether a replica halts for that, with no send under way; it must be ready all the same."""
    status, body = await replica.health()
    assert (200, True) == (status, replica.running)
    return (reason, 0) == (body["halt"], body["sends_in_flight"])


def unsent(dispatches: Sequence[Dispatch]) -> list[tuple[str, Status, Reason | None]]:
    """Return the recipients of whom it is not said that they were sent to."""
    everybody = [recipient for dispatch in dispatches for recipient in dispatch.recipients]
    return [(one.contact_id, one.status, one.reason) for one in everybody if one.status is not Status.SENT]


def not_once(stage: Stage, some: Sequence[Event]) -> dict[tuple[str, str], int]:
    """Return by dispatch and recipient the number of mails where it is not one."""
    sends = stage.ses.sends()
    wanted = {(one.dispatch_id, who.contact_id) for one in some for who in stage.dispatches[one.dispatch_id].recipients}
    return {key: sends[key] for key in wanted if sends[key] != 1}


@pytest.mark.parametrize(
    ("fault", "halt"),
    [
        ({"paused": True}, "sending_paused"),
        ({"refuse_all": "ExpiredTokenException"}, "credentials"),
        ({"error_share": 1.0}, "ses_unreachable"),
    ],
    ids=["paused", "credentials", "unreachable"],
)
async def test_an_outage_of_ses_costs_delay_and_no_mail(
    stage: Stage, replica: Process, fault: dict[str, object], halt: str
) -> None:
    """While SES takes nothing the replica is ready, says why it halts and charges nobody; then all goes out, once."""
    some = events(12)
    await stage.ses.set(**fault)
    await stage.publish_all(some)
    await until(lambda: halts_for(replica, halt), what=f"the halt {halt}")
    before = stage.ses.sends()

    await stage.ses.set()
    dispatches = await stage.all_ended(some, within=10)

    assert {} == {key: count for key, count in before.items() if key[0] in {one.dispatch_id for one in some}}
    assert ([], {}) == (unsent(dispatches), not_once(stage, some))
    assert {0} == {recipient.attempts for dispatch in dispatches for recipient in dispatch.recipients}
    await until(lambda: halts_for(replica, None), what="no halt")


async def test_throttled_sends_are_made_again(stage: Stage) -> None:
    """With every fifth send throttled all mail goes out once, and no attempt is charged for it."""
    some = events(40)
    await stage.ses.set(throttle_share=0.2, seed=7)

    await stage.publish_all(some)
    dispatches = await stage.all_ended(some)

    assert ([], {}) == (unsent(dispatches), not_once(stage, some))
    recipients = [recipient for dispatch in dispatches for recipient in dispatch.recipients]
    assert ({0}, True) == ({one.attempts for one in recipients}, max(one.send for one in recipients) > 1)


async def test_one_mentor_refused_for_good(stage: Stage) -> None:
    """An address that SES refuses costs its own mail alone: a dead letter for it, everybody else is told."""
    some = events(8)
    refused = some[3]
    await stage.ses.set(refuse={f"{refused.mentor_id}@example.org": "MessageRejected"})

    await stage.publish_all(some)
    dispatches = await stage.all_ended(some)

    assert [(refused.mentor_id, Status.FAILED, Reason.MESSAGE_REJECTED)] == unsent(dispatches)
    assert {(refused.dispatch_id, refused.mentor_id): 0} == not_once(stage, some)
    assert {refused.dispatch_id: [DeadLetterReason.FAILED]} == dead(stage, some)


def dead(stage: Stage, some: Sequence[Event]) -> dict[str, list[DeadLetterReason | str]]:
    """Return by dispatch the reasons of dead letters."""
    found: dict[str, list[DeadLetterReason | str]] = {}
    ours = {event.dispatch_id for event in some}
    for letter in stage.letters:
        if letter.dispatch is not None and letter.dispatch.dispatch_id in ours:
            found.setdefault(letter.dispatch.dispatch_id, []).append(letter.reason)
    return found


async def test_answers_lost_for_good(stage: Stage) -> None:
    """Under `resend` a mail whose answers are all lost is sent once more, then unknown and a dead letter."""
    (event,) = events(1)
    await stage.ses.set(accept_then_drop_share=1)

    await stage.publish(event)
    dispatch = await stage.ended(event)

    assert [(Status.UNKNOWN, Reason.ANSWER_LOST)] * 2 == [(one.status, one.reason) for one in dispatch.recipients]
    assert {one.contact_id: 2 for one in dispatch.recipients} == stage.ses.sent_to(event.dispatch_id)
    assert {event.dispatch_id: [DeadLetterReason.UNKNOWN]} == dead(stage, [event])


async def test_answers_lost_now_and_then(stage: Stage) -> None:
    """With some answers lost each recipient gets the mail at most twice, as often as their record says."""
    some = events(24)
    await stage.ses.set(accept_then_drop_share=0.3, seed=3)

    await stage.publish_all(some)
    dispatches = await stage.all_ended(some)

    sends = stage.ses.sends()
    expected = {(one.dispatch_id, who.contact_id): who.send for one in dispatches for who in one.recipients}
    assert expected == {key: sends[key] for key in expected}
    assert {1, 2} == set(expected.values())
    lost_twice = {one.dispatch_id for one in dispatches if any(who.status is Status.UNKNOWN for who in one.recipients)}
    assert {id_: [DeadLetterReason.UNKNOWN] for id_ in lost_twice} == dead(stage, some)


async def test_answers_lost_under_hold(kafka: Kafka, namespace: str, tmp_path: Path) -> None:
    """Under `hold` a mail whose answer is lost is not sent again: unknown, and a dead letter for a person."""
    (event,) = events(1)
    async with open_stage(kafka.bootstrap_servers, namespace, tmp_path) as stage:
        await stage.ses.set(accept_then_drop_share=1)
        await stage.start(lost_answer_policy="hold")

        await stage.publish(event)
        dispatch = await stage.ended(event)

        assert [(Status.UNKNOWN, 1)] * 2 == [(one.status, one.send) for one in dispatch.recipients]
        assert {one.contact_id: 1 for one in dispatch.recipients} == stage.ses.sent_to(event.dispatch_id)
        assert {event.dispatch_id: [DeadLetterReason.UNKNOWN]} == dead(stage, [event])


async def test_stops_takeovers_and_restarts(kafka: Kafka, namespace: str, tmp_path: Path) -> None:
    """
    No mail is doubled or lost, nor a mentor's order broken, by replicas that join, leave and start again under load.

    Then, with all of them gone, neither copies of the events nor a group that begins anew sends anything again.
    """
    some = events(400)
    async with open_stage(kafka.bootstrap_servers, namespace, tmp_path) as stage:
        await stage.ses.set(latency_ms=400, latency_jitter_ms=200)
        first = await stage.start(max_sends_in_flight=24)
        publishing = asyncio.create_task(stage.publish_all(some))
        await until(lambda: len(stage.ses.mails) > 80, what="the load")
        second = await stage.start(max_sends_in_flight=24)
        await until(lambda: _share(first, second), what="shared partitions")
        await publishing
        await stage.ses.set(latency_ms=40, latency_jitter_ms=60)
        mails = len(stage.ses.mails)
        await until(lambda: len(stage.ses.mails) > mails + 50, what="more of the load")
        first_code = await first.stop()
        in_the_middle = len(stage.ses.mails)
        dispatches = await stage.all_ended(some)
        second_code = await second.stop()

        assert (0, 0, True) == (first_code, second_code, in_the_middle < 800)
        assert ([], {}, []) == (unsent(dispatches), not_once(stage, some), out_of_order(stage, some))

        await _copies_send_nothing(stage, some[:60])
        await _a_new_group_sends_nothing(stage)


async def _share(first: Process, second: Process) -> bool:
    owned = [(await replica.health())[1]["partitions"] for replica in (first, second)]
    return bool(owned[0] and owned[1]) and list(range(PARTITIONS)) == sorted([*owned[0], *owned[1]])


async def _copies_send_nothing(stage: Stage, some: Sequence[Event]) -> None:
    before = len(stage.ses.mails)
    third = await stage.start()
    copies = await stage.publish_all(some)
    await stage.passed(*copies)
    assert (before, 0) == (len(stage.ses.mails), await third.stop())


async def _a_new_group_sends_nothing(stage: Stage) -> None:
    """Read every event again, as after a reset of the group's offsets to the beginning."""
    before = (len(stage.ses.mails), stage.dispatches.copy())
    await stage.start(group_id="anew")
    ends = {place: end for place, end in (await stage.committed()).items() if end}
    await until(lambda: _committed(stage, "anew", ends), what="the new group to have read everything")
    await stage.caught_up()
    assert before == (len(stage.ses.mails), stage.dispatches)


async def _committed(stage: Stage, group: str, ends: Mapping[Place, int]) -> bool:
    offsets = await stage.committed(group)
    return all(offsets.get(place, 0) >= end for place, end in ends.items())
