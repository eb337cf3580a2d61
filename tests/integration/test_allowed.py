"""An environment that sends to some addresses alone, with a real Kafka and a real replica."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from schemas.dispatch import Reason, Status
from tests.kafka import Kafka
from tests.stage import Stage, an_event, open_stage


@pytest_asyncio.fixture(name="stage")
async def _stage(kafka: Kafka, namespace: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(kafka.bootstrap_servers, namespace, tmp_path) as stage:
        yield stage


async def test_nobody_else_gets_mail(stage: Stage) -> None:
    """With a list on which no contact is, an event ends at once, and no e-mail leaves."""
    await stage.start(recipients_allowed="nobody.example")
    await stage.publish(event := an_event())
    dispatch = await stage.ended(event)

    assert {(Status.SUPPRESSED, Reason.NOT_ALLOWED_HERE)} == {(one.status, one.reason) for one in dispatch.recipients}
    assert 0 == stage.ses.sends().total()
