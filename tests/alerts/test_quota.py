"""Alerts about the account's quota of 24 hours."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from schemas.events import Event
from tests.alerts.environment import Environment, Watch, environment
from tests.alerts.prometheus import Prometheus
from tests.alerts.services import Services
from tests.stage import an_event, mentor

pytestmark = [pytest.mark.alerts, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="site")
async def _site(
    services: Services, scraping: Prometheus, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Environment]:
    async with environment(services.bootstrap_servers, scraping, tmp_path_factory.mktemp("quota")) as site:
        await site.start()
        yield site


async def _publish(site: Environment, count: int) -> list[Event]:
    events = [an_event(mentor_id=mentor(number)) for number in range(count)]
    await site.stage.publish_all(events)
    return events


@pytest.mark.provokes("QuotaNearlySpent warning")
async def test_a_day_as_busy_as_no_other(site: Environment, watch: Watch) -> None:
    """At this pace the quota does not last for half a day."""
    await site.stage.all_ended(await _publish(site, 10))
    await site.stage.ses.set(max_24_hour_send=len(site.stage.ses.mails) + 10)
    await watch.fire(site)


@pytest.mark.provokes("Halted warning")
async def test_a_spent_quota(site: Environment, watch: Watch) -> None:
    """Sending waits for the day to move on."""
    await _publish(site, 20)
    await watch.fire(site)
    await site.stage.ses.set()
    await watch.end(site)
