"""`GET dispatches/{id}` shows what became of the e-mails, with the whole facade over topics in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from deploy.contracts.export import exports
from runtime.kafka.records import Place
from schemas.dispatch import Status
from schemas.events import Role
from schemas.placement import partition_for
from schemas.signatures import NO_KEYS, SigningKeys
from tests import signing
from tests.api_keys import key_of, keys_file
from tests.fakes.facade import BASE, Setup, ends, fake_facade, never, recipient
from tests.fakes.kafka_log import PARTITIONS
from tests.feedback import a_report, as_record
from tests.signing import KEYS

LIFTED = {"mentor_id": "mentor-042"}
NUMBER = partition_for("mentor-042", PARTITIONS)
SENT = ends(recipient(Role.MENTOR, Status.SENT), recipient(Role.COORDINATOR, Status.SENT))
BOUNCED = {"state": "bounced", "at": "2026-03-26T08:31:00Z", "detail": "Permanent/NoEmail"}
QUEUE = "https://sqs.eu-central-1.amazonaws.com/111122223333/ses-events"


@pytest.fixture(name="setup")
async def _setup() -> AsyncIterator[Setup]:
    async with fake_facade(signing_keys_file=signing.keys_file()) as setup:
        setup.replica(SENT)
        yield setup


def tell(setup: Setup, dispatch_id: str, kind: str, *, keys: SigningKeys = KEYS, **changes: Any) -> None:
    """Append a report about the mentor's e-mail to the topic of feedback."""
    topic = setup.log.topics.feedback
    record = as_record(topic, a_report(kind, dispatch_id=dispatch_id, **changes), keys)
    setup.log.append(Place(topic, NUMBER), **record)


async def ended(setup: Setup) -> str:
    """Publish an event that ends at once; return the dispatch's id."""
    dispatch_id: str = (await setup.post("pause-lifted", LIFTED)).headers["dispatch-id"]
    return dispatch_id


async def recipients(setup: Setup, address: str) -> list[dict[str, Any]]:
    """Ask for a dispatch; return its recipients."""
    answer = await setup.client.get(f"{BASE}/dispatches/{address}")
    assert 200 == answer.status_code
    listed: list[dict[str, Any]] = answer.json()["notifications_dispatched"]
    return listed


class TestShown:
    """What the answer has beside the status."""

    @pytest.mark.parametrize("query", ["", f"?at=mentor.pauses.v1-{NUMBER}-0"], ids=["without at", "with at"])
    async def test_of_a_dispatch_seen_here(self, setup: Setup, query: str) -> None:
        """Feedback is read although the facade knows the dispatch; the coordinator has none yet."""
        dispatch_id = await ended(setup)
        before = await recipients(setup, dispatch_id + query)
        for kind in ("send", "bounce", "delivery"):
            tell(setup, dispatch_id, kind)

        mentor, coordinator = await recipients(setup, dispatch_id + query)

        assert [{**before[0], "feedback": BOUNCED}, before[1]] == [mentor, coordinator]
        assert "sent" == mentor["status"]

    async def test_on_another_facade(self, setup: Setup) -> None:
        """A facade that has not seen the dispatch shows the same."""
        dispatch_id = await ended(setup)
        tell(setup, dispatch_id, "bounce")

        async with fake_facade(signing_keys_file=signing.keys_file(), recent_dispatches=0) as other:
            other.log.records.update(setup.log.records)
            shown = await recipients(other, f"{dispatch_id}?at=mentor.pauses.v1-{NUMBER}-0")

        assert [BOUNCED, None] == [one.get("feedback") for one in shown]

    async def test_without_feedback_the_answer_is_as_before(self, setup: Setup) -> None:
        """The body is that of the call, byte for byte."""
        call = await setup.post("pause-lifted", LIFTED)

        answer = await setup.client.get(f"{BASE}/dispatches/{call.headers['dispatch-id']}")

        assert call.content == answer.content

    async def test_the_endpoints_answers_never_have_it(self, setup: Setup) -> None:
        """A repeated call is answered as the first one was."""
        first = await setup.post("pause-lifted", LIFTED, Idempotency_Key="k-1")
        tell(setup, first.headers["dispatch-id"], "bounce")

        again = await setup.post("pause-lifted", LIFTED, Idempotency_Key="k-1")

        assert first.content == again.content

    async def test_of_an_unknown_recipient(self, setup: Setup) -> None:
        """Of a lost answer it is the only evidence."""
        setup.replica(ends(recipient(Role.MENTOR, Status.UNKNOWN)))
        dispatch_id = await ended(setup)
        tell(setup, dispatch_id, "delivery", message_id="msg-any")

        (mentor,) = await recipients(setup, dispatch_id)

        assert ("unknown", "delivered") == (mentor["status"], mentor["feedback"]["state"])


class TestOverdue:
    """An e-mail of which SES reports nothing."""

    async def test_with_a_queue_it_is_unconfirmed(self) -> None:
        """The contract's e-mails were sent in March, so a day has passed."""
        async with fake_facade(ses_events_queue_url=QUEUE) as setup:
            setup.replica(SENT)
            shown = await recipients(setup, await ended(setup))

        assert [{"state": "unconfirmed", "at": "2026-03-26T08:30:00Z"}] * 2 == [one["feedback"] for one in shown]

    async def test_without_one_nothing_is_expected(self, setup: Setup) -> None:
        """The facade does not claim that something is missing."""
        shown = await recipients(setup, await ended(setup))

        assert [False, False] == ["feedback" in one for one in shown]


class TestProof:
    """Which records count."""

    async def test_an_unsigned_report_does_not_count(self, setup: Setup) -> None:
        """Whoever may write to the topic shows nobody a bounce."""
        dispatch_id = await ended(setup)
        tell(setup, dispatch_id, "bounce", keys=NO_KEYS)

        shown = await recipients(setup, dispatch_id)

        assert [False, False] == ["feedback" in one for one in shown]

    async def test_without_signing_keys_it_does(self) -> None:
        """Such an installation signs nothing."""
        async with fake_facade() as setup:
            setup.replica(SENT)
            dispatch_id = await ended(setup)
            tell(setup, dispatch_id, "bounce", keys=NO_KEYS)
            shown = await recipients(setup, dispatch_id)

        assert BOUNCED == shown[0]["feedback"]


class TestKafkaAway:
    """Kafka does not answer."""

    async def test_of_an_email_that_ses_has(self, setup: Setup) -> None:
        """503: an answer without feedback would mean that there is none."""
        dispatch_id = await ended(setup)
        setup.log.fail(TimeoutError())

        answer = await setup.client.get(f"{BASE}/dispatches/{dispatch_id}")

        assert (503, "1") == (answer.status_code, answer.headers["retry-after"])
        assert "/problems/try-again" == answer.json()["type"]

    async def test_of_one_that_it_has_not(self, setup: Setup) -> None:
        """A pending dispatch that was taken here is answered from memory: no feedback can be missing."""
        setup.replica(never)
        dispatch_id = (await setup.post("pause-lifted", LIFTED, Prefer="wait=0")).headers["dispatch-id"]
        setup.log.fail(TimeoutError())

        shown = await recipients(setup, dispatch_id)

        assert ["pending"] == [one["status"] for one in shown]


async def test_anothers_feedback_is_not_read(tmp_path: Path) -> None:
    """Another caller gets 404, and causes no further read."""
    keys = keys_file(tmp_path, "billing", "crm", operator="duty")
    async with fake_facade(api_keys_file=keys, signing_keys_file=signing.keys_file()) as setup:
        setup.replica(SENT)
        call = await setup.post("pause-lifted", LIFTED, X_API_Key=key_of("billing"))
        setup.log.fail(TimeoutError())  # whoever reads gets 503
        path = f"{BASE}/dispatches/{call.headers['dispatch-id']}"

        statuses = [
            (await setup.client.get(path, headers={"X-API-Key": key_of(name)})).status_code
            for name in ("billing", "duty", "crm")
        ]

    assert [503, 503, 404] == statuses


def test_openapi_has_it_for_the_state_of_a_dispatch_alone() -> None:
    """No POST and no problem documents feedback."""
    document = json.loads(dict(exports())["openapi.json"])
    paths, schemas = document["paths"], document["components"]["schemas"]
    fields = {name: json.dumps(schema["properties"]) for name, schema in schemas.items()}
    documented = {path for path, operations in paths.items() if "/DispatchState" in json.dumps(operations)}

    assert {f"{BASE}/dispatches/{{dispatch_id}}"} == documented
    assert ["RecipientState"] == [name for name in fields if '"feedback"' in fields[name]]
    assert ["DispatchState"] == [name for name in fields if "/RecipientState" in fields[name]]
