"""Alerts about programs: they restart, rebalance, are not ready, or are gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from schemas.contacts import CONTACTS_TOPIC
from schemas.events import EVENT_TOPICS
from schemas.feedback import FEEDBACK_TOPIC
from tests.alerts.environment import Environment, Watch, environment
from tests.alerts.prometheus import Prometheus
from tests.alerts.services import Services
from tests.stage import an_event, mentor
from tests.waiting import until

pytestmark = [pytest.mark.alerts, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

_RESTARTS = 3
_START_SECONDS = 60.0


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="site")
async def _site(
    services: Services, scraping: Prometheus, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Environment]:
    async with environment(services.bootstrap_servers, scraping, tmp_path_factory.mktemp("programs")) as site:
        await site.start()
        await site.start("facade-a", "service", http_port=0)
        yield site


@pytest.mark.provokes("Restarting critical")
async def test_a_replica_killed_again_and_again(site: Environment, watch: Watch) -> None:
    """A kill loop is told, though each start is short."""
    seen: set[str | None] = {None}

    async def scraped() -> bool:
        return await site.start_time("replica-b") not in seen

    for _ in range(_RESTARTS + 1):
        replica = await site.launch("replica-b")
        await until(scraped, within=_START_SECONDS, what="a new start")
        seen.add(await site.start_time("replica-b"))
        replica.kill()
    await watch.fire(site)
    await watch.end(site)


async def _join_and_leave(site: Environment) -> None:
    """
    Join the replicas' group, take partitions and leave.

    No replica does: on a machine with other load it starts too slowly for three rebalances in a window.
    """
    topics = site.stage.topics
    async with AIOKafkaConsumer(
        *(topics.named(topic) for topic in (*EVENT_TOPICS, FEEDBACK_TOPIC)),
        bootstrap_servers=site.stage.bootstrap_servers,
        group_id=topics.named("pause-notifications"),
        partition_assignment_strategy=(RangePartitionAssignor,),
        enable_auto_commit=False,
    ) as member:
        await until(member.assignment, within=_START_SECONDS, what="partitions")


@asynccontextmanager
async def _flapping(site: Environment) -> AsyncIterator[None]:
    """Let a member join and leave, while sends take long and there is always something to send."""
    over = asyncio.Event()

    async def flap() -> None:
        while not over.is_set():
            await site.stage.publish_all([an_event(mentor_id=mentor(number)) for number in range(47)])
            await _join_and_leave(site)

    flapping = asyncio.create_task(flap())
    try:
        yield
    finally:
        over.set()
        await flapping


@pytest.mark.provokes("Rebalancing warning", "Rebalancing critical")
async def test_a_member_that_joins_and_leaves(site: Environment, watch: Watch) -> None:
    """Each rebalance pauses all, for as long as the sends under way."""
    await site.stage.ses.set(latency_ms=1500)
    async with _flapping(site):
        await watch.fire(site)
    await site.stage.ses.set()
    await watch.end(site, "Rebalancing warning")


@pytest.mark.provokes("TopicChanged critical", "NotReady critical", "NotReady warning")
async def test_the_contacts_topic_is_deleted(site: Environment, watch: Watch) -> None:
    """No replica is ready until there are contacts to read."""
    await site.stage.delete_topic(CONTACTS_TOPIC)
    await watch.fire(site)
    await site.stage.create_missing_topics()
    await watch.end(site, "NotReady critical", "NotReady warning")


@pytest.mark.provokes("ContactsFell critical")
async def test_few_contacts_are_loaded_again(site: Environment, watch: Watch) -> None:
    """One contact of fifty is told, although all replicas are ready."""
    contacts = list(site.stage.contacts)
    await site.stage.put_contact(contacts[0])
    await watch.fire(site)
    await asyncio.gather(*map(site.stage.put_contact, contacts))
    await watch.end(site)


@pytest.mark.provokes(
    "Absent critical replica", "Absent critical facade", "NotScraped warning", "PartitionWithoutOwner critical"
)
async def test_all_programs_are_gone(site: Environment, watch: Watch) -> None:
    """What is not there says nothing of itself, and is told all the same."""
    for program in site.stage.processes:
        program.kill()
    await watch.fire(site)
    await site.start()
    await site.start("facade-a", "service", http_port=0)
    await watch.end(site, "Absent critical replica", "Absent critical facade", "PartitionWithoutOwner critical")
