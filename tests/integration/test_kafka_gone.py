"""Without Kafka both programs say so, in their metrics and their probes, and go on when it is back."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from deploy.local.kafka.cluster import embedded_kafka
from tests.processes import Process
from tests.stage import an_event, open_stage
from tests.waiting import until

pytestmark = pytest.mark.kafka

_WITHIN_SECONDS = 60.0


async def _until_it_says(program: Process, connected: int) -> None:
    async def says() -> bool:
        told = [await program.metric(f"pause_notifications_{name}") for name in ("kafka_connected", "ready")]
        return [connected, connected] == told

    await until(says, within=_WITHIN_SECONDS, what=f"{program.name} to say {connected} for Kafka and readiness")


async def test_a_kafka_that_is_dead_or_hangs_is_told(tmp_path: Path) -> None:
    """What a program knew last looks healthy; kafka_connected, ready and the replica's limit tell the truth."""
    async with (
        embedded_kafka(tmp_path / "kafka") as cluster,
        open_stage(cluster.bootstrap_servers, "gone", tmp_path) as stage,
    ):
        replica, facade = await stage.start(), await stage.start("service", http_port=0)
        await stage.publish(event := an_event())
        await stage.ended(event)
        (broker,) = cluster.brokers
        await broker.kill()
        for program in (replica, facade):
            await _until_it_says(program, 0)

        async def limited() -> bool:
            return bool((await replica.health())[1]["limit"] == "kafka")

        await until(limited, what="Kafka to limit the replica")
        body = (await replica.health())[1]
        await broker.start()
        for program in (replica, facade):
            await _until_it_says(program, 1)
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGSTOP)  # it hangs, and its connections stay open
        for program in (replica, facade):
            await _until_it_says(program, 0)
        os.kill(broker.pid, signal.SIGCONT)
        for program in (replica, facade):
            await _until_it_says(program, 1)

    assert "More replicas do not help: Kafka does not answer." == body["more_replicas"]
    assert 1 == body["replicas_wanted"]
