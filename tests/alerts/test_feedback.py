"""Alerts about what comes back from SES, and about what follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import pytest_asyncio

from runtime.kafka.records import Place
from schemas.contacts import Contact
from schemas.events import Role
from schemas.signatures import NO_KEYS
from tests.alerts.environment import Environment, Watch, environment
from tests.alerts.prometheus import Prometheus
from tests.alerts.services import Services
from tests.chaos.network import Mode, Proxy, listening
from tests.feedback import a_report, as_record
from tests.sqs import LocalSqs, local_sqs
from tests.stage import an_event, mentor

pytestmark = [pytest.mark.alerts, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

_SLOW_SECONDS, _QUICK_SECONDS = 2.5, 0.1
_OVERDUE_HOURS = 0.01
"""The least that the settings allow."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="sqs")
async def _sqs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalSqs]:
    with local_sqs(tmp_path_factory.mktemp("sqs")) as sqs:
        yield sqs


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="silent", autouse=True)
async def _silent(
    services: Services, scraping: Prometheus, sqs: LocalSqs, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Environment]:
    """Send e-mails of which SES never reports anything; it takes the other tests' time until they are overdue."""
    folder, queue = tmp_path_factory.mktemp("silent"), await sqs.queue("silent")
    async with environment(services.bootstrap_servers, scraping, folder, queue=queue) as silent:
        await silent.start(feedback_overdue_hours=_OVERDUE_HOURS)
        await silent.stage.ses.set(event_loss_share=1)
        await silent.stage.publish_all([an_event(mentor_id=mentor(number)) for number in range(5)])
        yield silent


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="way")
async def _way(sqs: LocalSqs) -> AsyncIterator[Proxy]:
    """Yield the way of a replica to its queue."""
    queue = await sqs.queue("known")
    proxy = Proxy(queue.address.removeprefix("http://"))
    async with listening([proxy]):
        yield proxy


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="site")
async def _site(
    services: Services, scraping: Prometheus, sqs: LocalSqs, way: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Environment]:
    folder, queue = (
        tmp_path_factory.mktemp("feedback"),
        replace(await sqs.queue("known"), address=f"http://{way.address}"),
    )
    async with environment(services.bootstrap_servers, scraping, folder, queue=queue) as site:
        await site.start()
        yield site


async def _tell(site: Environment, mailbox: str) -> None:
    """Tell six mentors without coordinators whose addresses are of a mailbox of the simulator."""
    names = [f"{mailbox}-{number}" for number in range(6)]
    for name in names:
        await site.stage.put_contact(
            Contact(id=name, role=Role.MENTOR, name="Ada Byron", email=f"{mailbox}+{name}@example.org")
        )
    await site.stage.publish_all([an_event(mentor_id=name) for name in names])


@pytest.mark.provokes("BounceRate warning", "BounceRate critical", "NobodyTold warning")
async def test_six_e_mails_bounce(site: Environment, watch: Watch) -> None:
    """Addresses that are gone lower our reputation, and their mentors have no coordinator to be told."""
    await _tell(site, "bounce")
    await watch.fire(site)


@pytest.mark.provokes("ComplaintRate warning", "ComplaintRate critical")
async def test_six_mentors_complain(site: Environment, watch: Watch) -> None:
    """E-mails that are called spam lower it more."""
    await _tell(site, "complaint")
    await watch.fire(site)


@pytest.mark.provokes("ForeignMessages warning queue")
async def test_a_foreign_message_on_the_queue(site: Environment, watch: Watch) -> None:
    """One message that nobody can read is told."""
    assert site.stage.queue is not None
    await site.stage.queue.put("not of SES")
    await watch.fire(site)


@pytest.mark.provokes("ForeignMessages warning topic")
async def test_feedback_that_nobody_signed(site: Environment, watch: Watch) -> None:
    """One record that no replica wrote is told."""
    topic = site.stage.topics.feedback
    await site.stage.put_at(Place(topic, 0), **as_record(topic, a_report(), NO_KEYS))
    await watch.fire(site)


@pytest.mark.provokes("SuppressionsInvalid warning")
async def test_a_suppression_that_nobody_signed(site: Environment, watch: Watch) -> None:
    """One suppression that does not count is told."""
    await site.stage.put_at(Place(site.stage.topics.suppressions, 0), key=b"ours:mentor-001", value=b"{}")
    await watch.fire(site)


@asynccontextmanager
async def _slow(way: Proxy) -> AsyncIterator[None]:
    """Let each call to the queue take seconds."""

    async def slow_down() -> None:
        while True:
            await way.set(Mode.HELD)
            await asyncio.sleep(_SLOW_SECONDS)
            await way.set(Mode.OPEN)
            await asyncio.sleep(_QUICK_SECONDS)

    slowing = asyncio.create_task(slow_down())
    try:
        yield
        assert not slowing.done(), slowing.exception()
    finally:
        slowing.cancel()
        await asyncio.wait([slowing])
        await way.set(Mode.OPEN)


@pytest.mark.provokes("FeedbackLate warning")
async def test_a_slow_way_to_the_queue(site: Environment, way: Proxy, watch: Watch) -> None:
    """Reports come faster than they can be taken."""
    async with _slow(way):
        await site.stage.publish_all([an_event(mentor_id=mentor(number)) for number in range(300)])
        await watch.fire(site)
    await watch.end(site)


@pytest.mark.provokes("FeedbackQueueFailing warning")
async def test_no_way_to_the_queue(site: Environment, way: Proxy, watch: Watch) -> None:
    """Every call fails."""
    await way.set(Mode.REFUSED)
    await watch.fire(site)
    await way.set(Mode.OPEN)
    await watch.end(site)


@pytest.mark.provokes("FeedbackUnconfirmed warning")
async def test_sent_and_never_reported(silent: Environment, watch: Watch) -> None:
    """E-mails of which SES says nothing are told after the least time that the settings allow."""
    await watch.fire(silent)
