"""What a stranger's records can do to callers, and the answers to callers without signing keys."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from deploy.local.ports import HOST, free_ports
from schemas import headers as names
from schemas.cloudevents import encode_binary
from schemas.dead_letters import DeadLetterReason
from schemas.dispatch import Dispatch, Origin, Recipient, Request, Status, dispatch_json
from schemas.events import EVENTS_BY_NAME, FACADE_SOURCE, Event, Role
from service.idempotency_key import event_id
from tests.fakes.kafka_log import APPENDED_AT
from tests.kafka import Kafka
from tests.stage import Stage, open_stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIFTED = EVENTS_BY_NAME["pause-lifted"]
PATH = "/api/v1/pause-notifications/pause-lifted"
NO_KEYS = {"signing_keys_file": ""}


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="stage")
async def _stage(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with a_stage(kafka, tmp_path_factory.mktemp("proof")) as stage:
        await stage.start()
        yield stage


@asynccontextmanager
async def a_stage(kafka: Kafka, logs: Path) -> AsyncIterator[Stage]:
    """Open a stage in a namespace of its own."""
    async with open_stage(kafka.bootstrap_servers, f"t-{secrets.token_hex(4)}", logs) as stage:
        yield stage


@asynccontextmanager
async def facade(stage: Stage, **settings: object) -> AsyncIterator[httpx.AsyncClient]:
    """Run a facade on the stage and yield a client of it."""
    (port,) = free_ports(1)
    await stage.start("service", http_port=port, **settings)
    async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", trust_env=False, timeout=35) as http:
        yield http


async def call(http: httpx.AsyncClient, mentor_id: str, *, key: str | None = None, wait: int = 20) -> httpx.Response:
    """Call, with or without an Idempotency-Key."""
    headers = {"Prefer": f"wait={wait}", **({"Idempotency-Key": key} if key else {})}
    return await http.post(PATH, json={"mentor_id": mentor_id}, headers=headers)


def message_ids(stage: Stage, answer: httpx.Response) -> dict[str, set[str | None]]:
    """Return the message ids that the caller was told, and those that SES accepted."""
    dispatch_id = answer.headers["Dispatch-Id"]
    accepted = {mail.message_id for mail in stage.ses.mails if mail.email.tags["dispatch_id"] == dispatch_id}
    return {"told": {one["message_id"] for one in answer.json()["notifications_dispatched"]}, "accepted": accepted}


def as_if_called(mentor_id: str, key: str) -> Event:
    """Return the event that a call makes: anybody can compute its id."""
    identity = event_id(LIFTED.name, "anonymous", mentor_id, key)
    return Event(LIFTED, identity, FACADE_SOURCE, LIFTED.model.model_validate({"mentor_id": mentor_id}))


async def test_no_caller_gets_a_forged_outcome(stage: Stage) -> None:
    """If a stranger publishes the call's event first, as sent, two e-mails are sent, and the answer has their ids."""
    event = as_if_called("mentor-001", "k-1")
    record = encode_binary(event)
    place = stage.place(record.topic, event.mentor_id)
    forged = Dispatch(
        dispatch_id=event.dispatch_id,
        event_type=LIFTED.type,
        mentor_id=event.mentor_id,
        digest=event.digest,
        origin=Origin(topic=place.topic, partition=place.partition, offset=10**9, appended_at=APPENDED_AT),
        request=Request(id="forged", caller="anonymous", keyless=True),
        recipients=(Recipient(contact_id=event.mentor_id, role=Role.MENTOR, status=Status.SENT, message_id="FORGED"),),
    ).seen(place.topic, 10**9, ended_at=APPENDED_AT)
    replay = (names.REPLAY, dispatch_json(forged))
    stranger = await stage.put_at(place, key=record.key, value=record.value, headers=[*record.headers, replay])

    async with facade(stage) as http:
        answer = await call(http, event.mentor_id, key="k-1")

    ids = message_ids(stage, answer)
    assert 200 == answer.status_code
    assert answer.headers.get("Idempotent-Replayed") is None
    assert 2 == len(ids["told"])
    assert ids["told"] == ids["accepted"]
    assert [DeadLetterReason.UNPROVEN_SOURCE] == [letter.reason for letter in stage.letters_of(stranger)]


async def test_a_facade_without_the_key_is_not_trusted(stage: Stage) -> None:
    """Its events are dead-lettered and logged, and its callers are answered that nothing is known."""
    async with facade(stage, **NO_KEYS) as http:
        answer = await call(http, "mentor-002", wait=1)
        again = await http.get(answer.headers["Location"])

    told = [one["status"] for one in again.json()["notifications_dispatched"]]
    assert 202 == answer.status_code
    assert 200 == again.status_code
    assert ["pending"] == told
    assert DeadLetterReason.UNPROVEN_SOURCE in {letter.reason for letter in stage.letters}


async def test_without_keys_callers_are_answered_truthfully(kafka: Kafka, tmp_path: Path) -> None:
    """Calls end as with keys, except one: a repeated keyless call is sent again, and its answer is not a replay."""
    async with a_stage(kafka, tmp_path) as stage:
        replica = await stage.start(**NO_KEYS)
        async with facade(stage, **NO_KEYS) as http:
            keyed = [await call(http, "mentor-001", key="k-1") for _ in range(2)]
            keyless = [await call(http, "mentor-002") for _ in range(2)]
        unproven = await replica.metric("pause_notifications_unproven_records_total")

    answers = [*keyed, *keyless]
    assert [200] * 4 == [answer.status_code for answer in answers]
    assert all(ids["told"] == ids["accepted"] for ids in (message_ids(stage, answer) for answer in answers))
    assert (1, 2) == tuple(len({answer.headers["Dispatch-Id"] for answer in pair}) for pair in (keyed, keyless))
    assert 6 == len(stage.ses.mails)
    assert 4 == unproven
    assert "signing.off" in replica.log.read_text()
