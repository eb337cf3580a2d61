"""The courses: who does what until a replica dies, who takes over, and what must have become of everything."""

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
    Ends,
    all_end,
    events_of_one_mentor,
    publish_in_order,
    takes_over,
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
"""For one that is to die while a send hangs, however slow this machine is."""


@dataclass(frozen=True)
class Dies:
    """Some events of one mentor; the replica dies at a step, another one takes over, and all end."""

    at: str
    struck: Ends = ONCE
    """How the event ends at which it died."""
    others: Ends = ONCE
    nth: int = 0
    """Which event that is; those before it have ended by then, those after it wait in its lane."""
    events: int = 3
    policy: str = "resend"
    faults: Mapping[str, object] = field(default_factory=dict)
    """What is wrong with SES until the death."""
    for_good: bool = False
    """Whether it is wrong afterwards, too."""

    async def __call__(self, stage: Stage) -> None:
        """Run the course."""
        events = events_of_one_mentor(self.events)
        await stage.ses.set(**self.faults)
        async with trapped(stage, self.at, lost_answer_policy=self.policy) as mortal:
            await mortal.ready()
            await publish_in_order(stage, events)
            await mortal.dead()
        ended = {id_ for id_, dispatch in stage.dispatches.items() if dispatch.final}
        written = len(stage.history)
        if not self.for_good:
            await stage.ses.set()

        await takes_over(stage, lost_answer_policy=self.policy)

        expected = [self.struck if number == self.nth else self.others for number in range(self.events)]
        assert expected == await all_end(stage, events)
        assert [] == [seen for seen in stage.history[written:] if seen.dispatch.dispatch_id in ended]


async def ses_called(stage: Stage, *, policy: str, struck: Ends) -> None:
    """It dies when SES has accepted both mails and has answered nothing yet."""
    events = events_of_one_mentor(3)
    await stage.ses.set(accept_then_hang_share=1)
    first = await stage.start(lost_answer_policy=policy, **PATIENT)
    await publish_in_order(stage, events)
    await until(lambda: len(stage.ses.mails) == 2, what="both mails accepted")
    first.kill()
    await stage.ses.set()

    await takes_over(stage, lost_answer_policy=policy)

    assert [struck, ONCE, ONCE] == await all_end(stage, events)


async def lost_answers_counted(stage: Stage) -> None:
    """The successor dies, too, once it has recorded that answers were lost: they are not counted again."""
    events = events_of_one_mentor(3)
    async with trapped(stage, "intent_recorded:2") as mortal:
        await mortal.ready()
        await publish_in_order(stage, events)
        await mortal.dead()
    async with trapped(stage, "pending_recorded:1") as mortal:
        await mortal.dead()

    await takes_over(stage)

    assert [ONCE, NEVER_CALLED, ONCE] == await all_end(stage, events)


async def ledger_half_read(stage: Stage) -> None:
    """The successor dies with half of the ledger read; what came meanwhile is seen through as well."""
    events = events_of_one_mentor(4)
    async with trapped(stage, "intent_recorded:3") as mortal:
        await mortal.ready()
        await publish_in_order(stage, events[:3])
        await mortal.dead()
    assert 5 == len(stage.history)
    async with trapped(stage, "ledger_batch_read:3") as mortal:
        await mortal.dead()
    await publish_in_order(stage, events[3:])

    await takes_over(stage)

    assert [ONCE, ONCE, NEVER_CALLED, ONCE] == await all_end(stage, events)


async def no_event_set_aside(stage: Stage) -> None:
    """It dies when what is no event is a dead letter, not committed past: it is set aside again, all else once."""
    events = events_of_one_mentor(2)
    async with trapped(stage, "dead_letter_recorded:1") as mortal:
        await mortal.ready()
        await stage.publish(events[0])
        bad = await stage.put(PAUSES_TOPIC, MENTOR, key=MENTOR.encode(), value=b"hello")
        await stage.publish(events[1])
        await mortal.dead()

    await takes_over(stage)

    assert [ONCE, ONCE] == await all_end(stage, events)
    assert ["not_json", "not_json"] == [letter.reason for letter in stage.letters_of(bad)]


async def conflict_set_aside(stage: Stage) -> None:
    """It dies when other content under a known id is a dead letter, not yet answered: a second letter, no mail."""
    (event,) = events_of_one_mentor(1)
    other = replace(event, data=an_event(mentor_id=MENTOR, pause_reason="other").data)
    async with trapped(stage, "dead_letter_recorded:1") as mortal:
        await mortal.ready()
        await publish_in_order(stage, [event, other])
        await mortal.dead()

    await takes_over(stage)

    assert [replace(ONCE, letters=("conflicting_duplicate",) * 2)] == await all_end(stage, [event])


async def copy_answered(stage: Stage) -> None:
    """It dies when the answer to a copy of an ended event is recorded: that is not recorded once more, nor sent."""
    (event,) = events_of_one_mentor(1)
    async with trapped(stage, "outcome_recorded:2") as mortal:
        await mortal.ready()
        await publish_in_order(stage, [event, event])
        await mortal.dead()
    written = stage.history.copy()

    await takes_over(stage)

    assert [ONCE] == await all_end(stage, [event])
    assert (3, written) == (len(written), stage.history)


async def moved(stage: Stage) -> None:
    """It dies when a misplaced record is published where it belongs: moved again, it is one event and one mail each."""
    (event,) = events_of_one_mentor(1)
    right = stage.place(PAUSES_TOPIC, MENTOR)
    record = encode_binary(event)
    async with trapped(stage, "moved:1") as mortal:
        await mortal.ready()
        wrong = Place(right.topic, (right.partition + 1) % PARTITIONS)
        await stage.put_at(wrong, key=record.key, value=record.value, headers=record.headers)
        await mortal.dead()

    await takes_over(stage)

    assert [ONCE] == await all_end(stage, [event])
    await until(lambda: _ends_at(stage, right, 2), what="the second copy")
    assert [ONCE] == await all_end(stage, [event])


async def _ends_at(stage: Stage, place: Place, offset: int) -> bool:
    return offset == (await stage.asker.end_offsets([place]))[place]


async def partitions_given_up(stage: Stage, *, at: str) -> None:
    """It dies within the revoke callback, its lanes drained; who joined it has everything, each mail once."""
    events: list[Event] = events_of_one_mentor(30)
    await stage.ses.set(latency_ms=500)
    async with trapped(stage, at) as mortal:
        await mortal.ready()
        await publish_in_order(stage, events)
        await until(lambda: stage.ses.mails, what="the first mail")
        joining = asyncio.create_task(takes_over(stage))
        await mortal.dead()
    statuses = {recipient.status for one in stage.dispatches.values() for recipient in one.recipients}
    assert ({Status.SENT}, True) == (statuses, len(stage.dispatches) < len(events))
    await stage.ses.set()

    await joining

    assert [ONCE] * len(events) == await all_end(stage, events)


async def frozen_before_the_call(stage: Stage) -> None:
    """Frozen with its intent recorded, and awake after another took over, it sends nothing: its session is over."""
    events = events_of_one_mentor(3)
    async with trapped(stage, "intent_recorded:2:SIGSTOP") as zombie:
        await zombie.ready()
        await publish_in_order(stage, events)
        await until(lambda: len(stage.history) == 3, what="the intent")
        await takes_over(stage)
        assert [ONCE, NEVER_CALLED, ONCE] == await all_end(stage, events)

        zombie.thaw()
        await until(lambda: _said(stage, events[1]) is Reason.NOT_CALLED, what="the zombie's own record")
        assert [ONCE, NEVER_CALLED, ONCE] == await all_end(stage, events)


def _said(stage: Stage, event: Event) -> Reason | None:
    records = [seen.dispatch for seen in stage.history if seen.dispatch.dispatch_id == event.dispatch_id]
    return records[-1].recipients[0].reason


async def send_out_at_a_stop(stage: Stage) -> None:
    """Told to stop while SES hangs, it records the lost answer before it leaves; the next one sends once more."""
    (event,) = events_of_one_mentor(1)
    await stage.ses.set(accept_then_hang_share=1)
    first = await takes_over(stage)
    await stage.publish(event)
    await until(lambda: len(stage.ses.mails) == 2, what="both mails accepted")
    code = await first.stop()
    await stage.caught_up()
    left = {(one.status, one.reason) for one in stage.dispatches[event.dispatch_id].recipients}
    await stage.ses.set()

    await takes_over(stage)

    assert (0, {(Status.PENDING, Reason.ANSWER_LOST)}) == (code, left)
    assert [TWICE] == await all_end(stage, [event])


async def replied(stage: Stage) -> None:
    """It dies when the caller has the answer and nothing is committed: the call repeated has the same answer."""
    call = ("/api/v1/pause-notifications/pause-lifted", {"mentor_id": MENTOR}, {"Idempotency-Key": "replied"})
    async with trapped(stage, "committing:1:SIGSTOP") as mortal, facade(stage) as http:
        await mortal.ready()
        told = await post(http, *call)
        committed = await stage.committed()
        await mortal.kill()
        await takes_over(stage)
        again = await post(http, *call)

    assert ({}, 200, 200) == (committed, told.status_code, again.status_code)
    assert (told.content, None, "true") == (again.content, *map(_replayed, (told, again)))
    assert [1, 1] == list(stage.ses.sent_to(told.headers["Dispatch-Id"]).values())


async def caller_waits(stage: Stage) -> None:
    """It dies with SES's answer unrecorded: the caller is told 202 and pending, at the Location that it was sent."""
    call = ("/api/v1/pause-notifications/pause-lifted", {"mentor_id": MENTOR}, {"Prefer": "wait=6"})
    async with trapped(stage, "answered:1") as mortal, facade(stage) as http:
        await mortal.ready()
        told = await post(http, *call)
        await mortal.dead()
        await takes_over(stage)
        await until(lambda: stage.dispatches[told.headers["Dispatch-Id"]].final, within=30, what="its end")
        seen = await http.get(told.headers["Location"])

    assert (202, ["pending", "pending"]) == (told.status_code, _statuses(told))
    assert (200, ["sent", "sent"]) == (seen.status_code, _statuses(seen))
    assert [2, 2] == list(stage.ses.sent_to(told.headers["Dispatch-Id"]).values())


def _replayed(answer: httpx.Response) -> object:
    return answer.headers.get("Idempotent-Replayed")


def _statuses(answer: httpx.Response) -> list[str]:
    return [one["status"] for one in answer.json()["notifications_dispatched"]]


async def post(http: httpx.AsyncClient, path: str, body: object, headers: Mapping[str, str]) -> httpx.Response:
    """Call an endpoint."""
    return await http.post(path, json=body, headers=headers)


@asynccontextmanager
async def facade(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    """Run a facade on the stage and give a client of it."""
    (port,) = free_ports(1)
    await stage.start("service", http_port=port, reply_timeout_seconds=30)
    async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", trust_env=False, timeout=35) as http:
        yield http
