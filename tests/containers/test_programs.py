"""The programs of the image, each in a container: events through both doors, and a stop in the middle of sends."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest

from runtime.kafka.publisher import KafkaPublisher
from schemas.cloudevents import encode_binary
from schemas.contacts import read_contacts
from schemas.events import Event
from schemas.placement import partition_for
from tests.containers.network import Network, Program
from tests.stage import PARTITIONS, SAMPLE_CONTACTS, an_event, mentor
from tests.waiting import until

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]  # the first test waits until all images are built

EVENTS = 300
LATENCY_MS = 1_000  # about seven seconds of sends, since a mentor's events wait for one another
COORDINATORS = {one.id: one.coordinator_id for one in read_contacts(SAMPLE_CONTACTS.read_text().splitlines())}


@asynccontextmanager
async def _publisher(network: Network) -> AsyncIterator[KafkaPublisher]:
    publisher = KafkaPublisher({"bootstrap_servers": network.kafka}, deadline_seconds=30)
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.stop()


async def _publish(publisher: KafkaPublisher, event: Event) -> None:
    record = encode_binary(event)
    partition = partition_for(event.mentor_id, PARTITIONS)
    await publisher.publish(record.topic, partition, key=record.key, value=record.value, headers=record.headers)


@pytest.fixture(name="_stopped", autouse=True)
def _stopped_afterwards(network: Network) -> Iterator[None]:
    """Make SES healthy and remove the programs after each test: another's replica would take its events."""
    yield
    network.ses.delete("/admin/faults").raise_for_status()
    network.programs.close()


async def test_an_event_through_each_door_arrives_as_mail(network: Network) -> None:
    """A call and a published event each end as two e-mails, whose delivery comes back; both programs are healthy."""
    replica, (facade, address) = network.replica(), network.facade()
    await asyncio.gather(replica.ready(), facade.ready())

    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=35) as http:
        answer = await http.post("/api/v1/pause-notifications/pause-lifted", json={"mentor_id": "mentor-042"})
        published = await asyncio.to_thread(
            network.run, "pause-notifications", "events", "publish", "pause-lifted", "--mentor", "mentor-041"
        )
        by_kafka = published.split()[0]
        await until(lambda: len(network.states(by_kafka)) == 2, within=30, what="the mails of the event")
        location = f"/api/v1/pause-notifications/dispatches/{answer.headers['Dispatch-Id']}"

        async def delivered() -> bool:
            shown = (await http.get(location)).json()["notifications_dispatched"]
            return {"delivered"} == {(one.get("feedback") or {}).get("state") for one in shown}

        await until(delivered, within=30, what="the delivery to be known")

    assert 200 == answer.status_code
    assert ["sent"] * 2 == [one["status"] for one in answer.json()["notifications_dispatched"]]
    assert 2 == len(network.states(answer.headers["Dispatch-Id"]))
    await until(lambda: {"healthy"} == {facade.health, replica.health}, within=30, what="both to be healthy")


async def test_the_command_prints_a_table(network: Network) -> None:
    """On a terminal the command prints tables, also without the package that colours code."""
    printed = await asyncio.to_thread(network.run, "pause-notifications", "contacts", "list", tty=True)

    assert "mentor-042" in printed


async def test_a_stop_in_the_middle_of_sends(network: Network) -> None:
    """A replica that `docker stop` ends in the middle of sends loses none and doubles none; another one goes on."""
    network.ses.patch("/admin/faults", content=json.dumps({"latency_ms": LATENCY_MS})).raise_for_status()
    network.ses.delete("/admin/mails").raise_for_status()
    events = [an_event("pause-lifted", mentor(number)) for number in range(EVENTS)]
    # Feedback would show what SES accepted from a replica that is killed; so a lost answer is a second mail here.
    first = network.replica(lost_answer_policy="resend")
    await first.ready()
    async with _publisher(network) as publisher:
        await asyncio.gather(*(_publish(publisher, event) for event in events))
    await until(lambda: _is_in_the_middle(first, network), within=30, what="sends under way")

    code = await asyncio.to_thread(first.stop)
    by_the_first = network.mails()
    second = network.replica(lost_answer_policy="resend")
    await second.ready()
    await until(lambda: len(network.mails()) >= 2 * EVENTS, within=60, what="a mail to each recipient")
    await until(lambda: not second.detail()["records_held"], within=30, what="nothing left to do")

    told = [(event.dispatch_id, who) for event in events for who in (event.mentor_id, COORDINATORS[event.mentor_id])]
    expected = Counter(told)
    assert 0 == code, first.log
    assert 0 < len(by_the_first) < len(expected)
    assert expected == network.mails()


def _is_in_the_middle(replica: Program, network: Network) -> bool:
    return bool(network.mails()) and bool(replica.detail()["sends_in_flight"])
