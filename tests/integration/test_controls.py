"""Controls on a real Kafka: the command sets them, and all replicas obey at once, of a log level facades, too."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest_asyncio
from typer.testing import CliRunner, Result

from consumers.admission.gate import STOPPED_BY_OPERATOR
from deploy.command.app import app
from deploy.local.ports import free_ports
from runtime.kafka.records import Place
from schemas.controls import CONTROLS_TOPIC
from schemas.dispatch import Reason, Status
from schemas.events import Event
from tests.integration.test_suppressions import operators
from tests.kafka import Kafka
from tests.processes import Process
from tests.stage import Stage, an_event, mentor, open_stage
from tests.waiting import until

HALT_WITHIN_SECONDS = 2.0
MAD = "/mad"


@pytest_asyncio.fixture(name="stage")
async def _stage(kafka: Kafka, namespace: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(kafka.bootstrap_servers, namespace, tmp_path) as stage:
        yield stage


async def operate(stage: Stage, *arguments: str) -> Result:
    """Run the command, which must succeed."""
    environ = operators(stage.bootstrap_servers, stage.topics.namespace)
    result = await asyncio.to_thread(CliRunner().invoke, app, list(arguments), env=environ)
    assert (0, "") == (result.exit_code, result.stderr), result.output
    return result


async def halts(replicas: list[Process]) -> list[str | None]:
    """Return why each replica sends nothing."""
    return [(await replica.health())[1]["halt"] for replica in replicas]


async def until_halted(replicas: list[Process], halt: str | None) -> None:
    """Wait until all replicas are halted for this reason."""

    async def halted() -> bool:
        return [halt] * len(replicas) == await halts(replicas)

    await until(halted, what=f"replicas to be halted: {halt}")


def from_mad(event: Event) -> Event:
    """Return the event as a producer gone mad publishes it."""
    return Event(kind=event.kind, id=event.id, source=MAD, data=event.data)


async def test_a_stop_halts_all_replicas(stage: Stage) -> None:
    """Within two seconds, also one that starts later; callers get a 202; a start lets all be sent, once."""
    (port,) = free_ports(1)
    replicas = [await stage.start(), await stage.start()]
    await stage.start("service", http_port=port, reply_timeout_seconds=1)
    await stage.publish(first := an_event())
    await stage.ended(first)

    stopping = asyncio.create_task(operate(stage, "sending", "stop", "--reason", "a test", "--by", "amara"))
    place = Place(stage.topics.controls, 0)
    await until(lambda: _written(stage, place), what="the stop to be in Kafka")
    began = time.monotonic()
    await until_halted(replicas, STOPPED_BY_OPERATOR)
    assert time.monotonic() - began < HALT_WITHIN_SECONDS
    await stopping

    before = len(stage.ses.mails)
    events = [an_event(mentor_id=mentor(number)) for number in range(5)]
    await stage.publish_all(events)
    replicas.append(await stage.start())
    assert [STOPPED_BY_OPERATOR] * 3 == await halts(replicas)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10) as http:
        body, key = {"mentor_id": mentor(9)}, {"Idempotency-Key": str(uuid4())}
        answer = await http.post("/api/v1/pause-notifications/pause-lifted", json=body, headers=key)
    assert 202 == answer.status_code
    assert before == len(stage.ses.mails)
    (control,) = (await replicas[0].health())[1]["controls"]
    assert ("sending_stopped", "amara", "a test") == (control["kind"], control["by"], control["reason"])
    assert 3 == sum([await one.metric("pause_notifications_controls_in_force") for one in replicas])

    await operate(stage, "sending", "start")
    for dispatch in await stage.all_ended(events):
        assert {Status.SENT} == {one.status for one in dispatch.recipients}
    assert {1} == set(stage.ses.sends().values())
    assert "no controls are in force\n" == (await operate(stage, "controls")).stdout


async def _written(stage: Stage, place: Place) -> bool:
    return (await stage.asker.end_offsets([place]))[place] > 0


async def test_a_held_source_waits_and_others_flow(stage: Stage) -> None:
    """Its events, and later ones of their mentors, are sent after the release, in order and once."""
    replicas = [await stage.start(max_records_held=50), await stage.start(max_records_held=50)]
    await operate(stage, "sources", "hold", MAD, "--reason", "publishes without end")
    held = [from_mad(an_event(mentor_id=mentor(number % 20))) for number in range(400)]
    behind = [an_event("pause-lifted", mentor_id=mentor(number)) for number in range(20)]
    others = [an_event(mentor_id=mentor(20 + number)) for number in range(20)]
    for events in (held, behind, others):
        await stage.publish_all(events)

    await stage.all_ended(others)
    assert {event.dispatch_id for event in others} == {dispatch_id for dispatch_id, _ in stage.ses.sends()}
    assert 20 == sum([(await one.health())[1]["lanes_left"] for one in replicas])
    await replicas.pop().stop()

    await operate(stage, "sources", "release", MAD)
    await stage.all_ended([*held, *behind], within=60)
    assert {1} == set(stage.ses.sends().values())
    order = [mail.email.tags["dispatch_id"] for mail in stage.ses.mails]
    for event in behind:
        earlier = [one.dispatch_id for one in held if one.mentor_id == event.mentor_id]
        assert order.index(event.dispatch_id) > max(order.index(one) for one in earlier)


async def test_a_cancel_ends_what_is_not_sent(stage: Stage) -> None:
    """Also what is held or waits at the gate; what was sent stays, and later events are sent."""
    await stage.start()
    published = await stage.publish(early := from_mad(an_event(mentor_id=mentor(1))))
    await stage.passed(published)
    await operate(stage, "sending", "stop", "--reason", "look first")
    await operate(stage, "sources", "hold", MAD, "--reason", "look first")
    bulk = [from_mad(an_event(mentor_id=mentor(number))) for number in range(40)]
    lifted = from_mad(an_event("pause-lifted", mentor_id=mentor(41)))
    await stage.publish_all([*bulk, lifted])

    chosen = ("dispatches", "cancel", "--source", MAD, "--since", "1h", "--type", "pause-activated")
    counted = json.loads((await operate(stage, *chosen, "--dry-run", "--json")).stdout)
    assert ({"pause-activated": 40}, 40) == (counted["types"], counted["events"])
    await operate(stage, *chosen, "--reason", "the bulk of a Friday", "--yes")
    for dispatch in await stage.all_ended(bulk):
        assert {(Status.SUPPRESSED, Reason.CANCELLED)} == {(one.status, one.reason) for one in dispatch.recipients}
    shown = await operate(stage, "dispatches", "show", bulk[0].dispatch_id)
    assert "cancelled" in shown.stdout

    await operate(stage, "sources", "release", MAD)
    await operate(stage, "sending", "start")
    await stage.publish(late := from_mad(an_event(mentor_id=mentor(2))))
    for dispatch in await stage.all_ended([lifted, late]):
        assert {Status.SENT} == {one.status for one in dispatch.recipients}
    assert {one.dispatch_id for one in (early, lifted, late)} == {dispatch_id for dispatch_id, _ in stage.ses.sends()}

    (control,) = (json.loads(line) for line in (await operate(stage, "controls", "--json")).stdout.splitlines())
    await operate(stage, *control["undo"].split()[1:])
    assert "no controls are in force\n" == (await operate(stage, "controls")).stdout
    assert [] == stage.letters


async def test_a_log_level_is_set_for_all(stage: Stage) -> None:
    """It comes back with its twin; each change is in the log, with who, when and why."""
    replica = await stage.start()
    await operate(stage, "log-level", "set", "error", "--for", "30m", "--reason", "too loud")
    await until(lambda: _shows(replica, ["log_level"]), what="the log level")
    quiet = replica.log.read_text()
    await stage.publish(event := an_event())
    await stage.ended(event)
    assert quiet == replica.log.read_text()

    await operate(stage, "log-level", "reset", "--by", "jonas")
    await until(lambda: _shows(replica, []), what="the level of the settings")
    await stage.publish(event := an_event())
    await stage.ended(event)
    await until(lambda: event.dispatch_id in replica.log.read_text(), what="the line of the dispatch")


async def test_a_log_level_is_set_for_facades_too(stage: Stage) -> None:
    """A facade logs each answer at `debug`, and does so until the level is lifted."""
    (port,) = free_ports(1)
    facade = await stage.start("service", http_port=port)

    async def ask() -> int:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as http:
            await http.get("/openapi.json")
        return facade.log.read_text().count("request.answered")

    assert 0 == await ask()
    await operate(stage, "log-level", "set", "debug", "--for", "30m")

    async def tells() -> bool:
        return bool(await ask())

    await until(tells, what="the line of an answer")
    await operate(stage, "log-level", "reset")
    await until(lambda: 2 == facade.log.read_text().count("controls.changed"), what="the lifted level")
    assert await ask() == await ask()


async def _shows(replica: Process, kinds: list[str]) -> bool:
    return kinds == [one["kind"] for one in (await replica.health())[1]["controls"]]


async def test_an_unsigned_record_controls_nothing(stage: Stage) -> None:
    """A stranger with Write on the topic neither stops sending nor starts it; it is counted, and the doctor warns."""
    replica = await stage.start()
    await operate(stage, "sending", "stop", "--reason", "a test")
    await until_halted([replica], STOPPED_BY_OPERATOR)
    for key, value in ((b"sending_stopped", None), (b"source_held:/tests", b"{}")):
        await stage.put_at(Place(stage.topics.named(CONTROLS_TOPIC), 0), key=key, value=value)

    async def counted() -> bool:
        return await replica.metric("pause_notifications_control_faults_total") == 2

    await until(counted, what="the faults")
    assert [STOPPED_BY_OPERATOR] == await halts([replica])
