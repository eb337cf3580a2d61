"""Urgent events behind a bulk publish, with a real Kafka and a real replica, while SES sets a low rate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest_asyncio

from schemas.events import Event
from tests.kafka import Kafka
from tests.stage import Stage, an_event, mentor, open_stage

BULK = "/bulk/reminders"
EVENTS = 400
LEFT = 100
"""More of the backlog than a replica holds: as much is left when the others have ended."""
MENTORS = 40
RATE = 20


@pytest_asyncio.fixture(name="stage")
async def _stage(kafka: Kafka, namespace: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(kafka.bootstrap_servers, namespace, tmp_path) as stage:
        await stage.ses.set(max_send_rate=RATE)
        yield stage


async def unended_behind(stage: Stage, name: str) -> int:
    """Publish a backlog of one type, then events of others; return how much of it is left when those have ended."""
    bulk = [replace(an_event(name, mentor_id=mentor(n % MENTORS)), source=BULK) for n in range(EVENTS)]
    await stage.publish_all(bulk)
    urgent: list[Event] = [an_event(mentor_id=mentor(MENTORS + n)) for n in range(4)]
    await stage.publish_all(urgent)
    await stage.all_ended(urgent, within=30)
    ended = [event for event in bulk if (it := stage.dispatches.get(event.dispatch_id)) is not None and it.final]
    return EVENTS - len(ended)


async def test_a_backlog_in_one_topic_keeps_no_other_topic_in_kafka(stage: Stage) -> None:
    """Pause notices are sent between reminders, however few records a replica holds."""
    await stage.start(max_records_held=32)

    assert LEFT < await unended_behind(stage, "cert-expiry-reminder")


async def test_slow_sources_let_others_of_their_topic_go_first(stage: Stage) -> None:
    """Their events wait beside what the replica holds, and the others pass them at the gate."""
    await stage.start(max_records_held=200, slow_sources="/bulk/*", slow_share=0.1)

    assert LEFT < await unended_behind(stage, "pause-lifted")
