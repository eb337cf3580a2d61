"""Facade and replica together: the answers to callers, and the same e-mails by REST and by Kafka."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from deploy.local.kafka.cluster import embedded_kafka
from deploy.local.ports import HOST, free_ports
from tests.kafka import Kafka
from tests.processes import Process
from tests.stage import Stage, an_event, mentor, open_stage
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORT = "/api/v1/pause-notifications"
DOUBLED = SHORT + SHORT

# As the contract prints them.
BODIES = {
    "pause-activated": (
        b'{"mentor_id":"mentor-042","expected_return_date":"2026-05-01T00:00:00Z","pause_reason":"personal_leave"}'
    ),
    "pause-lifted": b'{"mentor_id":"mentor-042"}',
    "cert-expiry": b'{"mentor_id":"mentor-042","expiry_date":"2026-03-31T00:00:00Z"}',
    "cert-expiry-reminder": b'{"mentor_id":"mentor-042","days_remaining":14}',
}
BOTH = ("mentor-042", "coordinator-007")
ABOUT = {"cert-expiry-reminder": '"mentor_id":"mentor-042","days_remaining":14'}
TOLD = {"cert-expiry-reminder": BOTH[:1]}


@asynccontextmanager
async def facade(stage: Stage, **settings: object) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """Run a facade on the stage, and yield it and a client."""
    (port,) = free_ports(1)
    process = await stage.start("service", http_port=port, **settings)
    async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", trust_env=False, timeout=35) as http:
        yield process, http


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="stage")
async def _stage(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    namespace = f"t-{secrets.token_hex(4)}"
    async with open_stage(kafka.bootstrap_servers, namespace, tmp_path_factory.mktemp("doors")) as stage:
        yield stage


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="replica", autouse=True)
async def _replica(stage: Stage) -> Process:
    return await stage.start()


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="http")
async def _http(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    async with facade(stage) as (_, http):
        yield http


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def _healthy(stage: Stage) -> AsyncIterator[None]:
    """Make SES healthy again after each test."""
    yield
    await stage.ses.set()


def a_key() -> dict[str, str]:
    """Return a new Idempotency-Key."""
    return {"Idempotency-Key": secrets.token_hex(8)}


def mails_of(stage: Stage, dispatch_id: str) -> dict[str, str]:
    """Return the message ids of a dispatch's e-mails by recipient."""
    mails = [mail for mail in stage.ses.mails if mail.email.tags["dispatch_id"] == dispatch_id]
    return {mail.email.tags["recipient"]: mail.message_id for mail in mails}


def slug(answer: httpx.Response) -> str:
    """Return the last part of a problem's type."""
    return str(answer.json()["type"]).rsplit("/", maxsplit=1)[-1]


@pytest.mark.parametrize("path", [SHORT, DOUBLED], ids=["short", "doubled"])
@pytest.mark.parametrize("name", BODIES)
async def test_the_contracts_examples(stage: Stage, http: httpx.AsyncClient, name: str, path: str) -> None:
    """Each example of the contract is answered with the contract's fields in its order, byte for byte."""
    answer = await http.post(f"{path}/{name}", content=BODIES[name], headers=a_key())

    mails = mails_of(stage, answer.headers["Dispatch-Id"])
    entry = '{{"recipient":"{0}","channel":"email","status":"sent","message_id":"{1}"}}'
    told = ",".join(entry.format(who, mails.get(who)) for who in TOLD.get(name, BOTH))
    about = ABOUT.get(name, '"mentor_id":"mentor-042"')
    expected = f'{{{about},"notifications_dispatched":[{told}],"dispatched_at":"INSTANT"}}'
    text = re.sub(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", "INSTANT", answer.text)
    assert 200 == answer.status_code
    assert "application/json" == answer.headers["content-type"]
    assert expected == text
    assert set(TOLD.get(name, BOTH)) == mails.keys()


@pytest.mark.parametrize("name", BODIES)
async def test_rest_and_kafka_lead_to_the_same_mails(stage: Stage, http: httpx.AsyncClient, name: str) -> None:
    """The same content at the same instant, by REST and by Kafka, makes the same e-mails except for their ids."""
    answer = await http.post(f"{SHORT}/{name}", content=BODIES[name], headers=a_key())
    by_rest = answer.headers["Dispatch-Id"]
    await until(lambda: by_rest in stage.dispatches, what="the dispatch")
    happened = stage.dispatches[by_rest].origin.appended_at
    event = replace(an_event(name, **json.loads(BODIES[name])), time=happened)

    await stage.publish(event)
    await stage.ended(event)

    assert len(TOLD.get(name, BOTH)) == len(_contents(stage, by_rest))
    assert _contents(stage, by_rest) == _contents(stage, event.dispatch_id)


def _contents(stage: Stage, dispatch_id: str) -> list[tuple[Any, ...]]:
    mails = [mail.email for mail in stage.ses.mails if mail.email.tags["dispatch_id"] == dispatch_id]
    return sorted((mail.to, mail.subject, mail.text, mail.html, mail.headers, mail.sender) for mail in mails)


async def test_a_pause_and_its_end_are_one_conversation(stage: Stage, http: httpx.AsyncClient) -> None:
    """The e-mails of both say that nobody wrote them, and answer to the same message."""
    about = {"mentor_id": mentor(9)}
    begins = {**about, "expected_return_date": "2026-05-01T00:00:00Z", "pause_reason": "holiday"}
    answers = [
        await http.post(f"{SHORT}/pause-activated", json=begins, headers=a_key()),
        await http.post(f"{SHORT}/pause-lifted", json=about, headers=a_key()),
    ]

    ids = {answer.headers["Dispatch-Id"] for answer in answers}
    headers = [dict(mail.email.headers) for mail in stage.ses.mails if mail.email.tags["dispatch_id"] in ids]
    assert 4 == len(headers)
    assert {"auto-generated"} == {one["Auto-Submitted"] for one in headers}
    assert 1 == len({one["References"] for one in headers})


async def test_a_repeated_key(stage: Stage, http: httpx.AsyncClient) -> None:
    """Calls repeated with their key, at once or later, are one event; other content with that key is refused."""
    body, key = {"mentor_id": mentor(1), "days_remaining": 5}, a_key()
    path = f"{SHORT}/cert-expiry-reminder"

    together = await asyncio.gather(*(http.post(path, json=body, headers=key) for _ in range(3)))
    later = await http.post(path, json=body, headers=key)
    other = await http.post(path, json={**body, "days_remaining": 6}, headers=key)
    not_waited = await http.post(path, json={**body, "days_remaining": 6}, headers={**key, "Prefer": "wait=0"})

    assert [200] * 4 == [answer.status_code for answer in (*together, later)]
    assert 1 == len({answer.text for answer in (*together, later)})
    assert 2 == len([answer for answer in together if answer.headers.get("Idempotent-Replayed") == "true"])
    assert "true" == later.headers.get("Idempotent-Replayed")
    assert [(422, "key-reused")] * 2 == [(answer.status_code, slug(answer)) for answer in (other, not_waited)]
    assert {mentor(1): 1} == stage.ses.sent_to(later.headers["Dispatch-Id"])


async def test_a_keyless_retry(stage: Stage, http: httpx.AsyncClient) -> None:
    """A call repeated without a key is answered from the first dispatch, and sends nothing."""
    body = {"mentor_id": mentor(2)}

    first = await http.post(f"{SHORT}/pause-lifted", json=body)
    again = await http.post(f"{SHORT}/pause-lifted", json=body)

    expected = (200, first.json()["notifications_dispatched"], "true")
    replayed = again.headers.get("Idempotent-Replayed")
    assert expected == (again.status_code, again.json()["notifications_dispatched"], replayed)
    assert first.headers["Dispatch-Id"] != again.headers["Dispatch-Id"]
    assert {} == stage.ses.sent_to(again.headers["Dispatch-Id"])


async def test_an_unknown_mentor(http: httpx.AsyncClient) -> None:
    """A call about an unknown mentor is answered 404."""
    answer = await http.post(f"{SHORT}/pause-lifted", json={"mentor_id": "mentor-404"})

    assert 404 == answer.status_code
    assert "unknown-mentor" == slug(answer)


async def test_nobody_can_be_notified(stage: Stage, http: httpx.AsyncClient) -> None:
    """A call whose recipients all fail for good is answered 422 with their list."""
    await stage.ses.set(refuse={f"{mentor(3)}@example.org": "MessageRejected"})

    body = {"mentor_id": mentor(3), "days_remaining": 1}
    answer = await http.post(f"{SHORT}/cert-expiry-reminder", json=body)

    entry = {"recipient": mentor(3), "channel": "email", "status": "failed", "message_id": None}
    expected = [{**entry, "reason": "message_rejected"}]
    assert 422 == answer.status_code
    assert "undeliverable" == slug(answer)
    assert expected == answer.json()["notifications_dispatched"]


async def test_a_pending_call_over_a_restart_of_the_facade(stage: Stage) -> None:
    """While SES is paused, a call is 202; when SES is back, its Location says `sent`, on another facade."""
    await stage.ses.set(paused=True)
    async with facade(stage) as (process, http):
        answer = await http.post(f"{SHORT}/pause-lifted", json={"mentor_id": mentor(4)}, headers={"Prefer": "wait=1"})
        code = await process.stop()
    location = answer.headers["Location"]
    await stage.ses.set()

    async with facade(stage) as (_, http):

        async def ended() -> dict[str, str]:
            shown = (await http.get(location)).json()["notifications_dispatched"]
            found = {one["recipient"]: one["status"] for one in shown}
            return {} if "pending" in found.values() else found

        seen = await until(ended, what="the end of the dispatch")

    assert 202 == answer.status_code
    assert 0 == code
    assert "wait=1" == answer.headers["Preference-Applied"]
    assert {"pending"} == {one["status"] for one in answer.json()["notifications_dispatched"]}
    assert 2 == len(seen)
    assert {"sent"} == set(seen.values())
    assert dict.fromkeys(seen, 1) == stage.ses.sent_to(answer.headers["Dispatch-Id"])


async def test_a_facade_stops_gracefully(stage: Stage) -> None:
    """A caller who waits when the facade is told to stop still gets their answer."""
    await stage.ses.set(latency_ms=700)
    async with facade(stage) as (process, http):
        mails = len(stage.ses.mails)
        waiting = asyncio.create_task(http.post(f"{SHORT}/pause-lifted", json={"mentor_id": mentor(5)}))
        await until(lambda: len(stage.ses.mails) > mails, what="the mail")

        code = await process.stop()

        assert 0 == code
        assert 200 == (await waiting).status_code


async def test_kafka_down(tmp_path: Path, namespace: str) -> None:
    """Without a broker, a call is 503 within 3 s; when it is back, calls are accepted without a restart."""
    async with (
        embedded_kafka(tmp_path / "kafka") as cluster,
        open_stage(cluster.bootstrap_servers, namespace, tmp_path) as stage,
        facade(stage) as (_, http),
    ):
        await cluster.brokers[0].kill()
        began = time.monotonic()
        refused = await http.post(f"{SHORT}/pause-lifted", json={"mentor_id": mentor(6)})
        took = time.monotonic() - began
        await cluster.brokers[0].start()
        taken = await until(lambda: _taken(http), what="a call to be taken")

    assert taken is not None
    assert 503 == refused.status_code
    assert took < 3
    assert slug(refused) in {"not-published", "publish-unknown"}
    expected = [{"recipient": mentor(6), "channel": "email", "status": "pending", "message_id": None}]
    assert 202 == taken.status_code
    assert expected == taken.json()["notifications_dispatched"]


async def _taken(http: httpx.AsyncClient) -> httpx.Response | None:
    headers = {"Prefer": "wait=1", "Idempotency-Key": "the-same"}
    answer = await http.post(f"{SHORT}/pause-lifted", json={"mentor_id": mentor(6)}, headers=headers)
    return None if answer.status_code == 503 else answer
