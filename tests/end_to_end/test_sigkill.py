"""Invariants 1, 3 and 4: a replica is killed in the middle of its work, and started again."""

from __future__ import annotations

import asyncio
from pathlib import Path

from schemas.dispatch import Status
from tests.kafka import Kafka
from tests.mail_order import out_of_order
from tests.stage import an_event, mentor, open_stage
from tests.waiting import until

EVENTS = 1000
IN_FLIGHT = 16


async def test_sigkill_in_the_middle_of_a_thousand_events(kafka: Kafka, namespace: str, tmp_path: Path) -> None:
    """Every event ends, only e-mails in flight at the kill may be sent twice, and each mentor's order is kept."""
    events = [an_event(mentor_id=mentor(number)) for number in range(EVENTS)]
    async with open_stage(kafka.bootstrap_servers, namespace, tmp_path) as stage:
        await stage.ses.set(latency_ms=20, latency_jitter_ms=20)
        replica = await stage.start(max_sends_in_flight=IN_FLIGHT)
        publishing = asyncio.create_task(stage.publish_all(events))
        await until(lambda: len(stage.ses.mails) > EVENTS // 2, within=60, what="a quarter of the mails")
        replica.kill()
        await publishing
        await stage.caught_up()
        in_doubt = {
            (dispatch.dispatch_id, recipient.contact_id)
            for dispatch in stage.dispatches.values()
            for recipient in dispatch.recipients
            if recipient.status is Status.SENDING
        }
        before = len(stage.ses.mails)

        await stage.start(max_sends_in_flight=IN_FLIGHT)
        dispatches = await stage.all_ended(events, within=60)

        sends = stage.ses.sends()
        recipients = {(one.dispatch_id, who.contact_id): who for one in dispatches for who in one.recipients}
        assert 2 * EVENTS == len(recipients)
        assert before < 2 * EVENTS
        assert set() == recipients.keys() - sends.keys()
        twice = {key for key, count in sends.items() if count > 1}
        assert set() == twice - in_doubt
        assert set() == {key for key, count in sends.items() if count > 2}
        assert 1 <= len(in_doubt) <= IN_FLIGHT
        assert {Status.SENT} == {who.status for who in recipients.values()}
        assert [] == stage.letters
        assert [] == out_of_order(stage, events)
