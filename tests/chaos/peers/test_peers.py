"""The peers do their job without faults: otherwise their losses under faults would prove nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from schemas.events import EVENTS, Event
from tests import processes
from tests.kafka import Kafka
from tests.stage import Stage, an_event, mentor, open_stage
from tests.waiting import until

_EVENTS = 30


def _events() -> list[Event]:
    """Return events of every kind about many mentors."""
    kinds = [EVENTS[n % len(EVENTS)] for n in range(_EVENTS)]
    return [an_event(kind.name, **{**kind.example, "mentor_id": mentor(n)}) for n, kind in enumerate(kinds)]


def _told(stage: Stage, events: list[Event]) -> Counter[tuple[str, str]]:
    """Return dispatch and contact of each e-mail that must be sent."""
    coordinators = {contact.id: contact.coordinator_id for contact in stage.contacts}
    told = {"mentor": lambda mentor_id: mentor_id, "coordinator": coordinators.__getitem__}
    return Counter((one.dispatch_id, told[role](one.mentor_id)) for one in events for role in one.kind.roles)


@pytest.mark.slow
class TestPeers:
    """Each peer, as a process on a real broker and the local SES."""

    @pytest.mark.parametrize("peer", ["faststream_peer", "gather_peer", "confluent_peer"])
    async def test_sends_each_mail_once_and_leaves(
        self, peer: str, kafka: Kafka, namespace: str, tmp_path: Path
    ) -> None:
        """Every e-mail is sent once; on SIGTERM the peer commits what it has done and ends with exit code 0."""
        async with open_stage(kafka.bootstrap_servers, namespace, tmp_path) as stage:
            settings = {"kafka_bootstrap_servers": kafka.bootstrap_servers, "namespace": namespace}
            environ = {"AWS_ENDPOINT_URL_SESV2": stage.ses.address}
            program, log = f"tests.chaos.peers.{peer}", tmp_path / f"{peer}.log"
            async with processes.running(program, settings, log_as=log, environ=environ) as process:
                stage.processes.append(process)
                await process.ready()
                events = _events()
                await asyncio.gather(*map(stage.publish, events))
                told = _told(stage, events)

                def all_told() -> bool:
                    stage.check()
                    return told.keys() <= stage.ses.sends().keys()

                await until(all_told, within=20, what="every mail")
                code = await process.stop()

            assert code == 0, log.read_text()
            assert told == stage.ses.sends()
            assert sum((await stage.committed("peers")).values()) == _EVENTS
