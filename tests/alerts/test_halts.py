"""Alerts about sending: it is halted, and events and callers wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import httpx
import pytest
import pytest_asyncio

from deploy.local.ports import HOST, free_ports
from tests.alerts.environment import Environment, Watch, environment
from tests.alerts.prometheus import Prometheus
from tests.alerts.services import Services
from tests.stage import an_event, mentor

pytestmark = [pytest.mark.alerts, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

_CALL_EVERY_SECONDS = 0.3
_ENDPOINT = "/api/v1/pause-notifications/pause-activated"


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="http")
async def _http(site: Environment) -> AsyncIterator[httpx.AsyncClient]:
    """Run a facade, and return who calls it."""
    (port,) = free_ports(1)
    await site.start("facade-a", "service", http_port=port, reply_timeout_seconds=0.2)
    async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", trust_env=False, timeout=10) as http:
        yield http


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="site")
async def _site(
    services: Services, scraping: Prometheus, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Environment]:
    async with environment(services.bootstrap_servers, scraping, tmp_path_factory.mktemp("halts")) as site:
        await site.start()
        yield site


@asynccontextmanager
async def _calls(http: httpx.AsyncClient) -> AsyncIterator[None]:
    """Post a pause again and again, each time of another mentor."""

    async def call() -> None:
        for number in count():
            body = an_event(mentor_id=mentor(number)).data.model_dump(mode="json")
            (await http.post(_ENDPOINT, json=body)).raise_for_status()
            await asyncio.sleep(_CALL_EVERY_SECONDS)

    calling = asyncio.create_task(call())
    try:
        yield
        assert not calling.done(), calling.exception()
    finally:
        calling.cancel()
        await asyncio.wait([calling])


@pytest.mark.provokes(
    "Halted critical",
    "EventsLate critical",
    "EventsLate warning",
    "CallersUnanswered critical",
    "CallersUnanswered warning",
    "EventsNearRetention critical",
)
async def test_expired_credentials(site: Environment, http: httpx.AsyncClient, watch: Watch) -> None:
    """Nothing is sent, callers get no outcome, and what waits is deleted one day."""
    await site.stage.ses.set(refuse_all="ExpiredTokenException")
    async with _calls(http):
        await watch.fire(site)
    await site.stage.ses.set()
    await watch.end(site, "Halted critical", "EventsNearRetention critical", "EventsLate critical")
