"""Events about unknown mentors, next to others."""

from __future__ import annotations

from pathlib import Path

from tests.kafka import Kafka
from tests.stage import an_event, mentor, open_stage


async def test_unknown_mentors_delay_nobody(kafka: Kafka, namespace: str, tmp_path: Path) -> None:
    """Events behind more of them than a replica may hold do not wait for their grace period."""
    async with open_stage(kafka.bootstrap_servers, namespace, tmp_path) as stage:
        await stage.start(max_records_held=100, unknown_mentor_grace_seconds=60)
        await stage.publish_all([an_event(mentor_id=f"nobody-{number}") for number in range(400)])
        known = [an_event(mentor_id=mentor(number)) for number in range(8)]
        await stage.publish_all(known)

        await stage.all_ended(known, within=20)


async def test_unknown_mentors_end_after_one_grace_period(kafka: Kafka, namespace: str, tmp_path: Path) -> None:
    """All of them end together, each with a dead letter."""
    async with open_stage(kafka.bootstrap_servers, namespace, tmp_path) as stage:
        await stage.start(max_records_held=100, unknown_mentor_grace_seconds=5)
        unknown = [an_event(mentor_id=f"nobody-{number}") for number in range(400)]
        await stage.publish_all(unknown)
        dispatches = await stage.all_ended(unknown, within=15)

        assert {True} == {dispatch.unknown_mentor for dispatch in dispatches}
        assert 400 == len(stage.letters)
