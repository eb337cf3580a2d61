"""Alerts about records: invalid, forged, skipped, deleted and unknown ones, floods of them, and their ledgers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from schemas.cloudevents import encode_binary
from schemas.events import PAUSES_TOPIC
from tests.alerts.environment import Environment, Watch, environment
from tests.alerts.prometheus import Prometheus
from tests.alerts.services import Services
from tests.chaos.batches import Raw, produce, with_header_name_of_no_utf8
from tests.stage import an_event, mentor

pytestmark = [pytest.mark.alerts, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

_SETTINGS = {"lost_answer_policy": "hold", "recipient_emails_per_hour": 1, "max_ledger_entries": 1000}


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="site")
async def _site(
    services: Services, scraping: Prometheus, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Environment]:
    async with environment(services.bootstrap_servers, scraping, tmp_path_factory.mktemp("records")) as site:
        await site.start(**_SETTINGS)
        yield site


@pytest.mark.provokes("DeadLetters warning")
async def test_a_record_that_is_no_event(site: Environment, watch: Watch) -> None:
    """One invalid record is told."""
    await site.stage.put(PAUSES_TOPIC, mentor(1), key=mentor(1).encode(), value=b"not JSON")
    await watch.fire(site)


@pytest.mark.provokes("ForgedHeaders warning")
async def test_a_header_of_ours_without_a_signature(site: Environment, watch: Watch) -> None:
    """One record that claims to be ours is told."""
    record = encode_binary(an_event())
    headers = [*record.headers, ("pn_caller", b"somebody")]
    await site.stage.put(record.topic, mentor(1), key=record.key, value=record.value, headers=headers)
    await watch.fire(site)


@pytest.mark.provokes("RecordsSkipped critical unreadable")
async def test_a_batch_that_no_client_can_read(site: Environment, watch: Watch) -> None:
    """One skipped batch is told."""
    producer = AIOKafkaProducer(bootstrap_servers=site.stage.bootstrap_servers)
    await producer.start()
    try:
        batch = with_header_name_of_no_utf8(Raw(b"mentor-001", b"{}"))
        await produce(producer, *site.stage.place(PAUSES_TOPIC, mentor(1)), batch)
    finally:
        await producer.stop()
    await watch.fire(site)


@pytest.mark.provokes("UnknownOutcomes warning")
async def test_an_answer_that_is_lost(site: Environment, watch: Watch) -> None:
    """One e-mail that SES may have or not is told."""
    await site.stage.ses.set(accept_then_drop_share=1)
    await site.stage.publish(event := an_event())
    await site.stage.ended(event)
    await site.stage.ses.set()
    await watch.fire(site)


@pytest.mark.provokes("UnknownSesErrors warning")
async def test_an_error_that_nobody_knows(site: Environment, watch: Watch) -> None:
    """One answer of SES that our table does not have is told."""
    await site.stage.ses.set(refuse_all="UnheardOfException")
    await site.stage.publish(event := an_event())
    await watch.fire(site)
    await site.stage.ses.set()
    await site.stage.ended(event)


@pytest.mark.provokes("RecipientFlooded critical", "LedgerFull warning")
async def test_a_flood_of_events(site: Environment, watch: Watch) -> None:
    """A producer that repeats itself floods its mentors, and fills the memory of ids."""
    await site.stage.publish_all([an_event(mentor_id=mentor(number)) for number in range(1300)])
    await watch.fire(site)
    await watch.end(site, "RecipientFlooded critical")


@pytest.mark.provokes("Throttled warning")
async def test_somebody_else_uses_the_rate(site: Environment, watch: Watch) -> None:
    """SES refuses many sends as too fast."""
    await site.stage.ses.set(throttle_share=0.5)
    await site.stage.publish_all([an_event(mentor_id=mentor(number)) for number in range(94)])
    await watch.fire(site)
    await site.stage.ses.set()


@pytest.mark.provokes("RecordsSkipped critical deleted")
async def test_records_deleted_while_no_replica_ran(site: Environment, watch: Watch) -> None:
    """Events that retention deleted first are told."""
    place = site.stage.place(PAUSES_TOPIC, mentor(1))
    await site.stage.processes[-1].stop()
    published = [await site.stage.publish(an_event(mentor_id=mentor(1))) for _ in range(3)]
    await site.stage.delete_records({place: published[-1].offset})
    await site.start(**_SETTINGS)
    await watch.fire(site)


@pytest.mark.provokes
async def test_what_happened_once_is_told_for_an_hour(site: Environment, watch: Watch) -> None:
    """Then the alerts end."""
    await watch.end(site, "DeadLetters warning", "ForgedHeaders warning", "RecordsSkipped critical unreadable")
