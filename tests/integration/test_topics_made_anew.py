"""Topics that are deleted and made anew, and records that are deleted, under running replicas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from deploy.local.ports import HOST, free_ports
from runtime.kafka.records import Place
from schemas.contacts import CONTACTS_TOPIC, Contact
from schemas.dead_letters import DeadLetterReason
from schemas.dispatch import DISPATCHES_TOPIC, Status
from schemas.events import EVENTS_BY_NAME, PAUSES_TOPIC, Event, Role
from service.answers import BASE_PATH
from tests.kafka import Kafka
from tests.processes import Process
from tests.stage import Stage, an_event, mentor, open_stage
from tests.waiting import until

NOTICED_SECONDS = 30.0
CHANGES = "pause_notifications_topic_changes_total"


@pytest_asyncio.fixture(name="stage")
async def _stage(kafka: Kafka, namespace: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(kafka.bootstrap_servers, namespace, tmp_path) as stage:
        yield stage


def _contact(number: int, *, domain: str) -> Contact:
    return Contact(id=mentor(number), role=Role.MENTOR, email=f"{mentor(number)}@{domain}", name="Ama")


def _addressees(stage: Stage) -> list[str]:
    return [address for mail in stage.ses.mails for address in mail.email.to]


async def _notices(replica: Process) -> bool:
    return await replica.metric(CHANGES) > 0


async def _has_read_contacts(replica: Process, count: int) -> bool:
    status, body = await replica.health()
    known = await replica.metric("pause_notifications_contacts")
    return (200, True, None, count) == (status, body["contacts_read"], body["halt"], known)


async def test_contacts_made_anew_replace_the_old_ones(stage: Stage) -> None:
    """Also with more records than before: mail goes to the new addresses alone, and who is not there is unknown."""
    replica = await stage.start(unknown_mentor_grace_seconds=0.1)
    await stage.make_anew(CONTACTS_TOPIC)
    await stage.put_contact(_contact(1, domain="new.example"))
    for number in range(400):
        padding = Contact(id=f"padding-{number}", role=Role.MENTOR, email=f"p{number}@new.example")
        await stage.put_contact(padding)

    await until(lambda: _notices(replica), within=NOTICED_SECONDS, what="the new topic to be noticed")
    await until(lambda: _has_read_contacts(replica, 401), what="the new contacts")
    known, gone = an_event(mentor_id=mentor(1)), an_event(mentor_id=mentor(2))
    await stage.publish_all([known, gone])
    dispatches = await stage.all_ended([known, gone])

    assert [f"{mentor(1)}@new.example"] == _addressees(stage)
    assert [False, True] == [one.unknown_mentor for one in dispatches]


async def test_while_the_contacts_topic_is_gone_nothing_is_sent(stage: Stage) -> None:
    """The replica says that it is not ready and why; with contacts there again the mail goes out."""
    replica = await stage.start()
    await stage.delete_topic(CONTACTS_TOPIC)
    await until(lambda: _notices(replica), within=NOTICED_SECONDS, what="the topic to be missed")
    event = an_event(mentor_id=mentor(1))
    await stage.publish(event)

    status, body = await replica.health()
    assert (503, False, "contacts_not_read") == (status, body["contacts_read"], body["halt"])

    await stage.create_missing_topics()
    await stage.put_contact(_contact(1, domain="new.example"))
    await stage.ended(event, within=NOTICED_SECONDS)

    assert [f"{mentor(1)}@new.example"] == _addressees(stage)


async def test_contacts_of_whom_none_is_valid_open_no_gate(stage: Stage) -> None:
    """They are counted apart, and events wait for somebody who can be written to."""
    await stage.make_anew(CONTACTS_TOPIC)
    event = an_event(mentor_id=mentor(1))
    place = stage.place(CONTACTS_TOPIC, mentor(1))
    await stage.put_at(place, key=mentor(1).encode(), value=b'{"id":"other"}')
    replica = await stage.start()
    await stage.publish(event)

    async def halted() -> bool:
        return bool((await replica.health())[1]["halt"] == "no_contacts")

    await until(halted, what="the halt")
    await until(lambda: replica.metric("pause_notifications_contacts_invalid"), what="the invalid contact to be told")
    assert 0 == await replica.metric("pause_notifications_contacts")
    await stage.put_contact(_contact(1, domain="new.example"))
    dispatch = await stage.ended(event)
    assert Status.SENT is dispatch.recipients[0].status


def _events(count: int) -> list[Event]:
    """Make events of one mentor: they lie on one partition."""
    return [an_event(mentor_id=mentor(1)) for _ in range(count)]


async def _sent_once(stage: Stage, events: Sequence[Event]) -> bool:
    """Whether each event was sent once to each recipient."""
    dispatches = await stage.all_ended(events, within=60)
    counts = [stage.ses.sent_to(event.dispatch_id) for event in events]
    return counts == [dict.fromkeys((one.contact_id for one in dispatch.recipients), 1) for dispatch in dispatches]


def _told_deleted(stage: Stage) -> list[tuple[int, str]]:
    return [
        (letter.origin.offset, letter.detail)
        for letter in stage.letters
        if letter.reason is DeadLetterReason.RECORDS_DELETED
    ]


async def test_an_event_topic_made_anew_is_read_from_its_beginning(stage: Stage) -> None:
    """Also when it has more records by then: none below the old offset is skipped, and none is sent twice."""
    before = _events(5)
    replica = await stage.start()
    await stage.publish_all(before)
    await stage.all_ended(before)
    await stage.make_anew(PAUSES_TOPIC)
    after = _events(30)
    await stage.publish_all(after)

    assert await _sent_once(stage, [*before, *after])
    await until(lambda: _notices(replica), within=NOTICED_SECONDS, what="the new topic to be told of")


async def test_an_event_topic_made_anew_while_nobody_runs(stage: Stage) -> None:
    """Committed offsets are those of the old topic."""
    before, after = _events(5), _events(30)
    first = await stage.start()
    published = await stage.publish_all(before)
    await stage.passed(*published)
    await first.stop()
    await stage.make_anew(PAUSES_TOPIC)
    await stage.publish_all(after)
    await stage.start()

    assert await _sent_once(stage, [*before, *after])


async def test_while_an_event_topic_is_gone_the_replica_is_not_ready(stage: Stage) -> None:
    """It names the topic, and reads it as soon as it is there again."""
    replica = await stage.start()
    await stage.delete_topic(PAUSES_TOPIC)

    async def missing() -> list[str]:
        status, body = await replica.health()
        return [str(topic) for topic in body["missing_topics"] if status == 503]

    topics = await until(missing, within=NOTICED_SECONDS, what="the topic to be missed")
    assert [stage.topics.named(PAUSES_TOPIC)] == topics

    await stage.create_missing_topics()
    events = await _published(stage, 5)
    assert await _sent_once(stage, events)
    await until(lambda: _is_ready(replica), within=NOTICED_SECONDS, what="the replica to be ready")


async def test_records_deleted_before_a_replica_starts(stage: Stage) -> None:
    """What nobody saw is a dead letter that names the offsets, and is counted; the rest is sent."""
    seen, unseen, left = _events(3), _events(40), _events(4)
    first = await stage.start()
    await stage.passed(*await stage.publish_all(seen))
    await first.stop()
    await stage.publish_all(unseen)
    await stage.publish_all(left)
    place = stage.place(PAUSES_TOPIC, mentor(1))
    await stage.delete_records({place: 43})
    second = await stage.start()

    assert await _sent_once(stage, [*seen, *left])
    assert [(3, "offsets 3 to 42 were deleted before they were read")] == _told_deleted(stage)
    assert 40 == await second.metric("pause_notifications_unseen_records_total")


@pytest.mark.slow
async def test_all_records_deleted_before_a_replica_starts(stage: Stage) -> None:
    """That nothing is left to be read hides nothing."""
    first = await stage.start()
    await stage.passed(*await stage.publish_all(_events(3)))
    await first.stop()
    await stage.publish_all(_events(2))
    await stage.delete_records({stage.place(PAUSES_TOPIC, mentor(1)): 5})
    await stage.start()

    await until(lambda: _told_deleted(stage), what="the dead letter")
    assert [(3, "offsets 3 to 4 were deleted before they were read")] == _told_deleted(stage)


@pytest.mark.parametrize("left", [pytest.param(0, marks=pytest.mark.slow), 5])
async def test_records_deleted_ahead_of_a_halted_replica(stage: Stage, left: int) -> None:
    """Once it goes on, each event was either sent or lies in the range that a dead letter names."""
    replica = await stage.start(max_records_held=4)
    await stage.ses.set(paused=True)
    place = stage.place(PAUSES_TOPIC, mentor(1))
    events = _events(100)
    large = ("padding", bytes(10_000))  # so that not all of them are fetched before they are deleted
    published = [await stage.publish(event, large) for event in events]
    last = published[-1].offset
    await stage.delete_records({place: last + 1 - left})
    await stage.ses.set()
    await until(lambda: _told_deleted(stage), within=60, what="the dead letter")
    await until(lambda: _is_committed(stage, place, last + 1), within=60, what="the end to be committed")
    await stage.caught_up()

    ((first, _),) = _told_deleted(stage)
    unseen = range(first, last + 1 - left)
    ended = [event for event in events if event.dispatch_id in stage.dispatches]
    assert len(unseen) == await replica.metric("pause_notifications_unseen_records_total")
    assert {one.offset for one in published} - set(unseen) == {
        stage.dispatches[event.dispatch_id].origin.offset for event in ended
    }
    assert await _sent_once(stage, ended)


async def _is_committed(stage: Stage, place: Place, offset: int) -> bool:
    return (await stage.committed()).get(place, 0) >= offset


async def test_dispatches_made_anew(stage: Stage) -> None:
    """What a replica remembers it does not send again, new events are sent once, and no old offset is read."""
    before, after = _events(10), _events(30)
    replica = await stage.start()
    await stage.publish_all(before)
    await stage.all_ended(before)
    await stage.make_anew(DISPATCHES_TOPIC)
    await stage.publish_all(after)
    await stage.all_ended(after, within=NOTICED_SECONDS)
    await stage.passed(*await stage.publish_all(before), within=NOTICED_SECONDS)

    assert await _sent_once(stage, [*before, *after])
    await until(lambda: _notices(replica), within=NOTICED_SECONDS, what="the new topic to be noticed")
    await until(lambda: _is_ready(replica), what="the replica to be ready")


async def _is_ready(replica: Process) -> bool:
    return (await replica.health())[0] == 200


async def test_callers_are_answered_from_dispatches_made_anew(stage: Stage) -> None:
    """The facade hears of outcomes in the new topic, also when it is longer than the old one was."""
    await stage.start()
    (port,) = free_ports(1)
    facade = await stage.start("service", http_port=port)
    await stage.all_ended(await _published(stage, 3))
    await stage.make_anew(DISPATCHES_TOPIC)
    await stage.all_ended(await _published(stage, 10), within=NOTICED_SECONDS)
    await until(lambda: _notices(facade), within=NOTICED_SECONDS, what="the new topic to be noticed")
    await until(lambda: _is_ready(facade), what="the facade to be ready")

    body = {**EVENTS_BY_NAME["pause-activated"].example, "mentor_id": mentor(1)}
    async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", trust_env=False, timeout=30) as client:
        answer = await client.post(f"{BASE_PATH}/pause-activated", json=body)
    assert 200 == answer.status_code


async def _published(stage: Stage, count: int) -> list[Event]:
    events = _events(count)
    await stage.publish_all(events)
    return events
