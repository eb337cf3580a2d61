"""Alerts about what surrounds the programs: Kafka, its rights, clocks, and a rate that is too low."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consumers import bootstrap
from tests import processes
from tests.alerts.environment import Environment, Watch, environment
from tests.alerts.prometheus import Prometheus
from tests.alerts.services import Services
from tests.chaos.network import Mode, Proxy, listening
from tests.chaos.skewed_clock import OFFSET, PROGRAM
from tests.drills.drills import broken_tree
from tests.secured_kafka import SecuredKafka, acls, all_of
from tests.stage import QUICK, an_event, mentor

pytestmark = [pytest.mark.alerts, pytest.mark.timeout(600)]

_FETCH = b"\x00\x01"
_HELD_SECONDS = 3.0


@pytest.fixture(name="site")
async def _site(services: Services, scraping: Prometheus, tmp_path: Path) -> AsyncIterator[Environment]:
    async with environment(services.bootstrap_servers, scraping, tmp_path) as site:
        yield site


@pytest.mark.provokes("KafkaLost critical")
async def test_the_way_to_kafka_is_cut(site: Environment, watch: Watch, services: Services) -> None:
    """Programs that knew it well a moment ago are told to have lost it."""
    way = Proxy(services.second_door.address, port=services.second_door.advertised_port)
    async with listening([way]):
        await site.start(kafka_bootstrap_servers=way.address)
        await site.start("facade-a", "service", http_port=0, kafka_bootstrap_servers=way.address)
        watch.begin()
        await way.set(Mode.REFUSED)
        await watch.fire(site)
        await way.set(Mode.OPEN)
        await watch.end(site)


@pytest.mark.provokes("LedgerLoadSlow warning")
async def test_a_broker_that_answers_slowly(site: Environment, watch: Watch, services: Services) -> None:
    """A replica that joins waits for its ledgers."""
    door, dispatches = services.second_door, site.stage.topics.dispatches.encode()
    holding: list[asyncio.Task[None]] = []

    async def hold() -> None:
        await way.set(Mode.HELD)
        await asyncio.sleep(_HELD_SECONDS)
        await way.set(Mode.OPEN)

    def on_request(chunk: bytes) -> None:
        if chunk[4:6] == _FETCH and dispatches in chunk and not holding:
            holding.append(asyncio.create_task(hold()))

    await site.start()
    events = [an_event(mentor_id=mentor(number)) for number in range(20)]
    await site.stage.publish_all(events)
    await site.stage.all_ended(events)
    way = Proxy(door.address, port=door.advertised_port, on_request=on_request)
    async with listening([way]):
        slow = await site.start("replica-b", kafka_bootstrap_servers=way.address)
        await watch.fire(site)
        await slow.stop()
    await holding[0]


@pytest.mark.provokes("FallingBehind critical", "ReplicaWithoutProgress critical")
async def test_a_rate_of_next_to_nothing(site: Environment, watch: Watch) -> None:
    """Nothing is halted, and the backlog grows."""
    await site.start()
    await site.stage.ses.set(max_send_rate=0.01)
    watch.begin()
    await site.stage.publish_all([an_event(mentor_id=mentor(number)) for number in range(20)])
    await watch.fire(site)
    await site.stage.ses.set()
    await watch.end(site)


@pytest.mark.provokes("ReplicaWithoutProgress warning")
async def test_a_release_with_a_bug(site: Environment, watch: Watch, tmp_path: Path) -> None:
    """One event that meets the bug is told, long before the replica is seen to stand still."""
    site.stage.tree = broken_tree(tmp_path / "bad-release")
    await site.start()
    watch.begin()
    await site.stage.publish(an_event())
    await watch.fire(site)


@pytest.mark.provokes("ClockSkew warning")
async def test_a_clock_that_is_wrong(site: Environment, watch: Watch, tmp_path: Path) -> None:
    """Twenty seconds are told."""
    settings = {**site.stage.settings(), **QUICK["consumers"], "management_port": site.scraped("replica-a")}
    environ = {**site.stage.environ, PROGRAM: "consumers", OFFSET: "20"}
    module, log = "tests.chaos.skewed_clock", tmp_path / "skewed.log"
    async with processes.running(module, settings, log_as=log, environ=environ) as replica:
        await replica.ready()
        await site.stage.publish(an_event())
        await watch.fire(site)


@pytest.mark.provokes("MissingRights critical")
async def test_a_right_is_taken_away(
    secured_kafka: SecuredKafka, scraping: Prometheus, watch: Watch, tmp_path: Path
) -> None:
    """One right that is gone is told, and that it is back."""
    async with (
        environment(secured_kafka.bootstrap_servers, scraping, tmp_path) as site,
        acls(secured_kafka) as rights,
    ):
        topics = site.stage.topics
        needed = all_of(bootstrap.needs(topics, topics.named("pause-notifications")))
        await rights.grant(needed)
        await site.start(**secured_kafka.settings)
        watch.begin()
        await rights.take_away(needed[0])
        await watch.fire(site)
        await rights.grant(needed[:1])
        await watch.end(site)
