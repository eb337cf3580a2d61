"""Topics that are deleted and made anew, and records that are deleted, under running replicas."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from schemas.contacts import CONTACTS_TOPIC, Contact
from schemas.dispatch import Status
from schemas.events import Role
from tests.kafka import Kafka
from tests.processes import Process
from tests.stage import Stage, an_event, mentor, open_stage
from tests.waiting import until

NOTICED_SECONDS = 30.0
MADE_ANEW = "pause_notifications_topic_changes_total"


@pytest_asyncio.fixture(name="stage")
async def _stage(kafka: Kafka, namespace: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(kafka.bootstrap_servers, namespace, tmp_path) as stage:
        yield stage


def _contact(number: int, *, domain: str) -> Contact:
    return Contact(id=mentor(number), role=Role.MENTOR, email=f"{mentor(number)}@{domain}", name="Ama")


def _addressees(stage: Stage) -> list[str]:
    return [address for mail in stage.ses.mails for address in mail.email.to]


async def _notices(replica: Process) -> bool:
    return await replica.metric(MADE_ANEW) > 0


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
