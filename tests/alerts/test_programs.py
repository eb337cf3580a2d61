"""Alerts about programs: they restart, rebalance, are not ready, or are gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from schemas.contacts import CONTACTS_TOPIC
from tests.alerts.environment import Environment, Watch, environment
from tests.alerts.prometheus import Prometheus
from tests.alerts.services import Services
from tests.stage import an_event, mentor

pytestmark = [pytest.mark.alerts, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

_RESTARTS = 3


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
    replica = await site.start("replica-b")
    for _ in range(_RESTARTS):
        replica.kill()
        replica = await site.start("replica-b")
    await watch.fire(site)
    await replica.stop()
    await watch.end(site)


@asynccontextmanager
async def _flapping(site: Environment) -> AsyncIterator[None]:
    """Let a replica join and leave, while sends take long and there is always something to send."""

    async def flap() -> None:
        while True:
            await site.stage.publish_all([an_event(mentor_id=mentor(number)) for number in range(47)])
            await (await site.start("replica-c")).stop()

    flapping = asyncio.create_task(flap())
    try:
        yield
        assert not flapping.done(), flapping.exception()
    finally:
        flapping.cancel()
        await asyncio.wait([flapping])


@pytest.mark.provokes("Rebalancing warning", "Rebalancing critical")
async def test_a_replica_that_joins_and_leaves(site: Environment, watch: Watch) -> None:
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
