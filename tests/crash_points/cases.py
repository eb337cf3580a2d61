"""The cases: what happens until a replica is killed, who takes over, and what the outcome must be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from deploy.local.ports import HOST, free_ports
from runtime.kafka.records import Place
from schemas.cloudevents import encode_binary
from schemas.dispatch import Reason, Status
from schemas.events import PAUSES_TOPIC, Event
from tests.crash_points.helpers import (
    CALM,
    MENTOR,
    NEVER_CALLED,
    ONCE,
    TWICE,
    Outcome,
    events_of_one_mentor,
    outcomes_of,
    publish_in_order,
    start_successor,
    trapped,
)
from tests.stage import PARTITIONS, Stage, an_event
from tests.waiting import until

PATIENT: Mapping[str, Any] = {
    **CALM,
    "ses_timeout_seconds": 30,
    "drain_seconds": 40,
    "rebalance_timeout_seconds": 45,
    "request_timeout_seconds": 50,
}
"""For a replica that is killed while a send hangs, however slow this machine is."""


@dataclass(frozen=True)
class CrashAt:
    """A replica is killed at a step of one of several events of a mentor; a successor finishes all of them."""

    at: str
    crashed: Outcome = ONCE
    """The outcome of the event at which it is killed."""
    others: Outcome = ONCE
    index: int = 0
    """Which event that is; those before it are final by then, those after it wait in its lane."""
    events: int = 3
    policy: str = "resend"
    faults: Mapping[str, object] = field(default_factory=dict)
    """The faults of SES until the kill."""
    faults_persist: bool = False
    """Whether they last after the kill."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Settings of both replicas."""

    async def __call__(self, stage: Stage) -> None:
        """Run the case."""
        events = events_of_one_mentor(self.events)
        settings = {"lost_answer_policy": self.policy, **self.settings}
        await stage.ses.set(**self.faults)
        async with trapped(stage, self.at, **settings) as doomed:
            await doomed.ready()
            await publish_in_order(stage, events)
            await doomed.dead()
        final = {id_ for id_, dispatch in stage.dispatches.items() if dispatch.final}
        written = len(stage.history)
        if not self.faults_persist:
            await stage.ses.set()

        await start_successor(stage, **settings)

        expected = [self.crashed if number == self.index else self.others for number in range(self.events)]
        assert expected == await outcomes_of(stage, events)
        assert [] == [seen for seen in stage.history[written:] if seen.dispatch.dispatch_id in final]


async def ses_called(stage: Stage, *, policy: str, crashed: Outcome) -> None:
    """It is killed when SES has accepted both e-mails and has not answered yet."""
    events = events_of_one_mentor(3)
    await stage.ses.set(accept_then_hang_share=1)
    first = await stage.start(lost_answer_policy=policy, **PATIENT)
    await publish_in_order(stage, events)
    await until(lambda: len(stage.ses.mails) == 2, what="both e-mails accepted")
    first.kill()
    await stage.ses.set()

    await start_successor(stage, lost_answer_policy=policy)

    assert [crashed, ONCE, ONCE] == await outcomes_of(stage, events)


async def lost_answers_counted(stage: Stage) -> None:
    """The successor is killed, too, when it has recorded the lost answers: they are not counted again."""
    events = events_of_one_mentor(3)
    async with trapped(stage, "intent_recorded:2") as doomed:
        await doomed.ready()
        await publish_in_order(stage, events)
        await doomed.dead()
    async with trapped(stage, "pending_recorded:1") as doomed:
        await doomed.dead()

    await start_successor(stage)

    assert [ONCE, NEVER_CALLED, ONCE] == await outcomes_of(stage, events)


async def ledger_half_read(stage: Stage) -> None:
    """The successor is killed with half of the ledger read; events that came in between are processed as well."""
    events = events_of_one_mentor(4)
    async with trapped(stage, "intent_recorded:3") as doomed:
        await doomed.ready()
        await publish_in_order(stage, events[:3])
        await doomed.dead()
    assert 5 == len(stage.history)
    async with trapped(stage, "ledger_batch_read:3") as doomed:
        await doomed.dead()
    await publish_in_order(stage, events[3:])

    await start_successor(stage)

    assert [ONCE, ONCE, NEVER_CALLED, ONCE] == await outcomes_of(stage, events)


async def invalid_record_dead_lettered(stage: Stage) -> None:
    """It is killed between an invalid record's dead letter and the commit: a second dead letter, no other repeats."""
    events = events_of_one_mentor(2)
    async with trapped(stage, "dead_letter_recorded:1") as doomed:
        await doomed.ready()
        await stage.publish(events[0])
        bad = await stage.put(PAUSES_TOPIC, MENTOR, key=MENTOR.encode(), value=b"hello")
        await stage.publish(events[1])
        await doomed.dead()

    await start_successor(stage)

    assert [ONCE, ONCE] == await outcomes_of(stage, events)
    assert ["not_json", "not_json"] == [letter.reason for letter in stage.letters_of(bad)]


async def conflict_dead_lettered(stage: Stage) -> None:
    """It is killed between the dead letter of other content under a known id and the answer: no e-mail follows."""
    (event,) = events_of_one_mentor(1)
    other = replace(event, data=an_event(mentor_id=MENTOR, pause_reason="other").data)
    async with trapped(stage, "dead_letter_recorded:1") as doomed:
        await doomed.ready()
        await publish_in_order(stage, [event, other])
        await doomed.dead()

    await start_successor(stage)

    assert [replace(ONCE, letters=("conflicting_duplicate",) * 2)] == await outcomes_of(stage, [event])


async def redelivery_answered(stage: Stage) -> None:
    """It is killed when the answer to a redelivery is recorded: nothing is recorded or sent again."""
    (event,) = events_of_one_mentor(1)
    async with trapped(stage, "outcome_recorded:2") as doomed:
        await doomed.ready()
        await publish_in_order(stage, [event, event])
        await doomed.dead()
    written = stage.history.copy()

    await start_successor(stage)

    assert [ONCE] == await outcomes_of(stage, [event])
    assert 3 == len(written)
    assert written == stage.history


async def moved(stage: Stage) -> None:
    """It is killed when a misplaced record was moved. The record is moved again, and each recipient gets one e-mail."""
    (event,) = events_of_one_mentor(1)
    right = stage.place(PAUSES_TOPIC, MENTOR)
    record = encode_binary(event)
    async with trapped(stage, "moved:1") as doomed:
        await doomed.ready()
        wrong = Place(right.topic, (right.partition + 1) % PARTITIONS)
        await stage.put_at(wrong, key=record.key, value=record.value, headers=record.headers)
        await doomed.dead()

    await start_successor(stage)

    assert [ONCE] == await outcomes_of(stage, [event])
    await until(lambda: _ends_at(stage, right, 2), what="the second delivery")
    assert [ONCE] == await outcomes_of(stage, [event])


async def _ends_at(stage: Stage, place: Place, offset: int) -> bool:
    return offset == (await stage.asker.end_offsets([place]))[place]


async def partitions_revoked(stage: Stage, *, at: str) -> None:
    """It is killed in the revoke callback, with its lanes drained; the joining replica sends each e-mail once."""
    events: list[Event] = events_of_one_mentor(60)
    await stage.ses.set(latency_ms=2000)
    async with trapped(stage, at) as doomed:
        await doomed.ready()
        await publish_in_order(stage, events)
        await until(lambda: stage.ses.mails, what="the first e-mail")
        joining = asyncio.create_task(start_successor(stage))
        await doomed.dead()
    statuses = {recipient.status for one in stage.dispatches.values() for recipient in one.recipients}
    assert {Status.SENT} == statuses
    assert len(stage.dispatches) < len(events)
    await stage.ses.set()

    await joining

    assert [ONCE] * len(events) == await outcomes_of(stage, events)


async def frozen_before_the_call(stage: Stage) -> None:
    """It is frozen after its intent and resumes after a successor took over: it sends nothing, its session is over."""
    events = events_of_one_mentor(3)
    async with trapped(stage, "intent_recorded:2:SIGSTOP") as zombie:
        await zombie.ready()
        await publish_in_order(stage, events)
        await until(lambda: len(stage.history) == 3, what="the intent")
        await start_successor(stage)
        assert [ONCE, NEVER_CALLED, ONCE] == await outcomes_of(stage, events)

        zombie.thaw()
        await until(lambda: _last_reason(stage, events[1]) is Reason.NOT_CALLED, what="the zombie's own record")
        assert [ONCE, NEVER_CALLED, ONCE] == await outcomes_of(stage, events)


def _last_reason(stage: Stage, event: Event) -> Reason | None:
    records = [seen.dispatch for seen in stage.history if seen.dispatch.dispatch_id == event.dispatch_id]
    return records[-1].recipients[0].reason


async def send_in_flight_at_a_stop(stage: Stage) -> None:
    """Asked to stop while SES hangs, it records the lost answer before it leaves; the successor sends once more."""
    (event,) = events_of_one_mentor(1)
    await stage.ses.set(accept_then_hang_share=1)
    first = await start_successor(stage, ses_timeout_seconds=4)
    await stage.publish(event)
    await until(lambda: len(stage.ses.mails) == 2, what="both e-mails accepted")
    code = await first.stop()
    await stage.caught_up()
    left = {(one.status, one.reason) for one in stage.dispatches[event.dispatch_id].recipients}
    await stage.ses.set()

    await start_successor(stage)

    assert 0 == code
    assert {(Status.PENDING, Reason.ANSWER_LOST)} == left
    assert [TWICE] == await outcomes_of(stage, [event])


async def caller_answered(stage: Stage) -> None:
    """It is killed when the caller has the answer and nothing is committed: a repeated call gets the same answer."""
    call = ("/api/v1/pause-notifications/pause-lifted", {"mentor_id": MENTOR}, {"Idempotency-Key": "replied"})
    async with trapped(stage, "committing:1:SIGSTOP") as doomed, facade(stage) as http:
        await doomed.ready()
        first = await post(http, *call)
        committed = await stage.committed()
        await doomed.kill()
        await start_successor(stage)
        again = await post(http, *call)

    assert {} == committed
    assert [200, 200] == [first.status_code, again.status_code]
    assert first.content == again.content
    assert [None, "true"] == [_replayed(first), _replayed(again)]
    assert [1, 1] == list(stage.ses.sent_to(first.headers["Dispatch-Id"]).values())


async def caller_waits(stage: Stage) -> None:
    """It is killed before SES's answer is recorded: the caller gets 202 and pending, and later sent at the Location."""
    call = ("/api/v1/pause-notifications/pause-lifted", {"mentor_id": MENTOR}, {"Prefer": "wait=6"})
    async with trapped(stage, "answered:1") as doomed, facade(stage) as http:
        await doomed.ready()
        first = await post(http, *call)
        await doomed.dead()
        await start_successor(stage)
        await until(lambda: stage.dispatches[first.headers["Dispatch-Id"]].final, within=30, what="the final dispatch")
        seen = await http.get(first.headers["Location"])

    assert 202 == first.status_code
    assert ["pending", "pending"] == _statuses(first)
    assert 200 == seen.status_code
    assert ["sent", "sent"] == _statuses(seen)
    assert [2, 2] == list(stage.ses.sent_to(first.headers["Dispatch-Id"]).values())


def _replayed(answer: httpx.Response) -> object:
    return answer.headers.get("Idempotent-Replayed")


def _statuses(answer: httpx.Response) -> list[str]:
    return [one["status"] for one in answer.json()["notifications_dispatched"]]


async def post(http: httpx.AsyncClient, path: str, body: object, headers: Mapping[str, str]) -> httpx.Response:
    """Call an endpoint."""
    return await http.post(path, json=body, headers=headers)


@asynccontextmanager
async def facade(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    """Run a facade on the stage and yield a client of it."""
    (port,) = free_ports(1)
    await stage.start("service", http_port=port, reply_timeout_seconds=30)
    async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", trust_env=False, timeout=35) as http:
        yield http
