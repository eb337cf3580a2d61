"""Every row of the published table of REST answers, with the whole facade over topics in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import structs

from runtime.kafka.publisher import NotPublished, PublishUnknown, TooLarge
from runtime.kafka.records import Place
from schemas import headers as names
from schemas.cloudevents import decode
from schemas.dispatch import Reason, Status
from schemas.events import EVENTS, EVENTS_BY_NAME, FACADE_SOURCE, EventType, Role
from schemas.headers import header, header_text
from schemas.placement import partition_for
from service.idempotency_key import event_id
from service.key_failures import MAX_FAILURES, WINDOW_SECONDS
from tests.api_keys import key_of, keys_file
from tests.fakes.facade import BASE, Setup, ends, fake_facade, never, recipient, started
from tests.fakes.kafka_log import PARTITIONS
from tests.fakes.publisher import Failure
from tests.waiting import until

LIFTED = {"mentor_id": "mentor-042"}
SENT = ends(recipient(Role.MENTOR, Status.SENT), recipient(Role.COORDINATOR, Status.SENT))
MENTOR_ENTRY = '{"recipient":"mentor-042","channel":"email","status":"sent","message_id":"msg-00940"}'
COORDINATOR_ENTRY = '{"recipient":"coordinator-007","channel":"email","status":"sent","message_id":"msg-00941"}'
PENDING = {"recipient": "mentor-042", "channel": "email", "status": "pending", "message_id": None}


@pytest.fixture(name="setup")
async def _setup() -> AsyncIterator[Setup]:
    async with fake_facade() as setup:
        setup.replica(SENT)
        yield setup


def _sent_to(kind: EventType) -> Any:
    return ends(*(recipient(role, Status.SENT) for role in kind.roles))


def _check_problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert status == answer.status_code
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert f"/problems/{slug}" == body["type"]
    assert status == body["status"]
    assert 32 == len(body["trace_id"])
    assert body["title"]
    assert body["detail"]
    return body


class TestPaths:
    """Which paths answer."""

    @pytest.mark.parametrize("slash", ["", "/"])
    @pytest.mark.parametrize("prefix", [BASE, BASE + BASE])
    @pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.name)
    async def test_both_paths(self, setup: Setup, kind: EventType, prefix: str, slash: str) -> None:
        """Every endpoint answers 200 on both paths, with and without a trailing slash."""
        setup.replica(_sent_to(kind))

        answer = await setup.client.post(f"{prefix}/{kind.name}{slash}", json=kind.example)

        assert 200 == answer.status_code

    async def test_unknown_path(self, setup: Setup) -> None:
        """An unknown path is a problem that names every documented endpoint, and where they are described."""
        body = _check_problem(await setup.client.post("/api/v2/nothing"), 404, "no-such-endpoint")
        documented = (await setup.client.get("/openapi.json")).json()["paths"]

        every = [f"{method.upper()} {path}" for path, operations in documented.items() for method in operations]
        assert len(EVENTS) < len(every)
        assert f"The endpoints are: {', '.join(every)}. /docs describes them." == body["detail"]

    async def test_other_method(self, setup: Setup) -> None:
        """Another method on a known path is 405 with what is allowed."""
        answer = await setup.client.get(f"{BASE}/pause-lifted")

        _check_problem(answer, 405, "method-not-allowed")
        assert "POST" == answer.headers["allow"]

    async def test_problem_page(self, setup: Setup) -> None:
        """The type of a problem is the address of a page about it."""
        problem = (await setup.client.post("/nowhere")).json()

        page = await setup.client.get(problem["type"])

        assert 200 == page.status_code
        assert problem["title"] in page.text


class TestDelivered:
    """Every recipient has a final status, and not all failed."""

    @pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.name)
    async def test_contract_example(self, setup: Setup, kind: EventType) -> None:
        """The body is the contract's example, byte for byte."""
        setup.replica(_sent_to(kind))

        answer = await setup.post(kind.name, kind.example)

        entries, days = f"{MENTOR_ENTRY},{COORDINATOR_ENTRY}", ""
        if kind.name == "cert-expiry-reminder":
            entries, days = MENTOR_ENTRY, '"days_remaining":14,'
        expected = (
            f'{{"mentor_id":"mentor-042",{days}"notifications_dispatched":[{entries}],'
            '"dispatched_at":"2026-03-26T08:30:00Z"}'
        )
        assert 200 == answer.status_code
        assert expected.encode() == answer.content
        assert "application/json" == answer.headers["content-type"]

    async def test_partly_failed(self, setup: Setup) -> None:
        """One recipient sent and one failed is 200, and the failed one has a reason and no message id."""
        failed = recipient(Role.COORDINATOR, Status.FAILED, Reason.NO_ADDRESS)
        setup.replica(ends(recipient(Role.MENTOR, Status.SENT), failed))

        answer = await setup.post("pause-lifted", LIFTED)

        assert 200 == answer.status_code
        assert (
            b'{"recipient":"coordinator-007","channel":"email","status":"failed","message_id":null,"reason":"no_address"}'
            in answer.content
        )

    async def test_headers(self, setup: Setup) -> None:
        """The answer names its dispatch and its request, and is not marked as replayed."""
        answer = await setup.post("pause-lifted", LIFTED)

        event = decode(setup.publisher.records[0].headers, setup.publisher.records[0].value)
        assert event.dispatch_id == answer.headers["dispatch-id"]
        assert header_text(setup.publisher.records[0].headers, names.REQUEST_ID) == answer.headers["request-id"]
        assert "idempotent-replayed" not in answer.headers

    async def test_replica_on_another_facade_is_ignored(self, setup: Setup) -> None:
        """A dispatch of another event answers nobody here."""
        setup.replica(lambda dispatch: structs.replace(SENT(dispatch) or dispatch, dispatch_id="0" * 32))

        answer = await setup.post("pause-lifted", LIFTED, Prefer="wait=0")

        assert 202 == answer.status_code


class TestPending:
    """The dispatch is not final at the deadline."""

    async def test_before_the_first_record(self, setup: Setup) -> None:
        """Before the first record the list has the mentor alone, pending, at the event's append time."""
        setup.replica(never)

        answer = await setup.post("pause-lifted", LIFTED, Prefer="wait=0")

        expected = {
            "mentor_id": "mentor-042",
            "notifications_dispatched": [PENDING],
            "dispatched_at": "2026-03-26T08:29:58Z",
        }
        assert 202 == answer.status_code
        assert expected == answer.json()

    async def test_headers(self, setup: Setup) -> None:
        """A 202 says where and when to ask, and which preference was applied."""
        setup.replica(never)

        answer = await setup.post("pause-lifted", LIFTED, Prefer="wait=0")

        partition = partition_for("mentor-042", PARTITIONS)
        dispatch_id = answer.headers["dispatch-id"]
        expected = f"{BASE}/dispatches/{dispatch_id}?at=mentor.pauses.v1-{partition}-0"
        assert expected == answer.headers["location"]
        assert "2" == answer.headers["retry-after"]
        assert "wait=0" == answer.headers["preference-applied"]

    async def test_partly_known(self, setup: Setup) -> None:
        """The answer has what is known; a recipient that is being sent to is pending, without a reason."""
        setup.replica(ends(recipient(Role.MENTOR, Status.SENT), recipient(Role.COORDINATOR, Status.SENDING)))

        answer = await setup.post("pause-lifted", LIFTED, Prefer="wait=1")

        pending = {**PENDING, "recipient": "coordinator-007"}
        assert [json.loads(MENTOR_ENTRY), pending] == answer.json()["notifications_dispatched"]
        assert 202 == answer.status_code

    async def test_default_deadline(self) -> None:
        """Without a preference the setting's deadline applies, and no preference is confirmed."""
        async with fake_facade(reply_timeout_seconds=0.1) as setup:
            answer = await setup.post("pause-lifted", LIFTED)

        assert 202 == answer.status_code
        assert "preference-applied" not in answer.headers

    async def test_long_wait_is_clamped(self, setup: Setup) -> None:
        """More than 30 s counts as 30 s, in the answer and in the event."""
        answer = await setup.post("pause-lifted", LIFTED, Prefer="respond-async, wait=99")

        assert 200 == answer.status_code
        assert "wait=30" == answer.headers["preference-applied"]
        assert b"30000" == header(setup.publisher.records[0].headers, names.WAITS_MS)

    async def test_malformed_preference(self, setup: Setup) -> None:
        """A preference that cannot be read is ignored."""
        answer = await setup.post("pause-lifted", LIFTED, Prefer="wait=soon")

        assert 200 == answer.status_code
        assert "preference-applied" not in answer.headers

    async def test_an_error_while_waiting(self, setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
        """An internal error after the event is durable is a 202, never a 5xx."""
        monkeypatch.setattr("service.publish_and_wait.final_answer", lambda *_args, **_keywords: 1 / 0)

        answer = await setup.post("pause-lifted", LIFTED)

        assert 202 == answer.status_code


class TestNotDelivered:
    """All recipients failed."""

    @pytest.mark.parametrize(
        ("reason", "status", "slug"),
        [
            (Reason.ATTEMPTS_EXHAUSTED, 502, "not-delivered"),
            (Reason.NO_ADDRESS, 422, "undeliverable"),
            (Reason.MESSAGE_REJECTED, 422, "undeliverable"),
        ],
    )
    async def test_all_failed(self, setup: Setup, reason: Reason, status: int, slug: str) -> None:
        """If all failed it is 502 if any exhausted its attempts, else 422, each with the list of recipients."""
        other = recipient(Role.COORDINATOR, Status.FAILED, Reason.NO_ADDRESS)
        setup.replica(ends(recipient(Role.MENTOR, Status.FAILED, reason), other))

        answer = await setup.post("pause-lifted", LIFTED)

        body = _check_problem(answer, status, slug)
        assert [reason.value, "no_address"] == [one["reason"] for one in body["notifications_dispatched"]]
        assert answer.headers["dispatch-id"] == body["dispatch_id"]

    async def test_unknown_mentor(self, setup: Setup) -> None:
        """An unknown mentor is 404, with the dispatch's id."""
        setup.replica(ends(unknown_mentor=True))

        answer = await setup.post("pause-lifted", LIFTED)

        body = _check_problem(answer, 404, "unknown-mentor")
        assert answer.headers["dispatch-id"] == body["dispatch_id"]


class TestRefused:
    """Bodies that are not events: nothing is published."""

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"\xff{}",
            b'{"mentor_id": NaN}',
            b'{"mentor_id":"a","mentor_id":"b"}',
            b"[" * 60_000,
            b'{"mentor_id":"a","x":"\\ud800"}',
        ],
        ids=["empty", "cut", "no UTF-8", "NaN", "name twice", "nested", "half a character"],
    )
    async def test_not_json(self, setup: Setup, body: bytes) -> None:
        """A body that is not strict JSON is 400."""
        answer = await setup.client.post(f"{BASE}/pause-lifted", content=body)

        _check_problem(answer, 400, "not-json")
        assert [] == setup.publisher.records

    async def test_the_offset_is_published(self, setup: Setup) -> None:
        """A date is published with the UTC offset that it was sent with, since midnight there is its calendar date."""
        date = "2026-05-01T00:00:00+02:00"
        setup.replica(SENT)
        await setup.post("cert-expiry", {"mentor_id": "mentor-042", "expiry_date": date})

        assert date == json.loads(setup.publisher.records[0].value or b"")["expiry_date"]

    @pytest.mark.parametrize("number", [b"9" * 5001, b"-" + b"9" * 60_000, b"1e400"])
    async def test_a_strangers_number(self, setup: Setup, number: bytes) -> None:
        """A number of any length in an unknown field does not make the call invalid."""
        body = b'{"mentor_id":"mentor-042","x":' + number + b"}"

        assert 200 == (await setup.client.post(f"{BASE}/pause-lifted", content=body)).status_code

    @pytest.mark.parametrize(
        ("name", "change", "pointer"),
        [
            ("pause-lifted", {"mentor_id": 42}, "/mentor_id"),
            ("pause-lifted", {"mentor_id": None}, "/mentor_id"),
            ("pause-lifted", {"mentor_id": ""}, "/mentor_id"),
            ("pause-lifted", {"mentor_id": "m" * 129}, "/mentor_id"),
            ("pause-lifted", {"mentor_id": "a\nb"}, "/mentor_id"),
            ("pause-activated", {"pause_reason": " "}, "/pause_reason"),
            ("pause-activated", {"pause_reason": "r" * 501}, "/pause_reason"),
            ("pause-activated", {"expected_return_date": "2026-05-01T00:00:00"}, "/expected_return_date"),
            ("pause-activated", {"expected_return_date": 1777593600}, "/expected_return_date"),
            ("cert-expiry", {"expiry_date": "1777593600"}, "/expiry_date"),
            ("cert-expiry", {"expiry_date": "0001-01-01T00:00:00Z"}, "/expiry_date"),
            ("cert-expiry-reminder", {"days_remaining": 1.5}, "/days_remaining"),
            ("cert-expiry-reminder", {"days_remaining": -1}, "/days_remaining"),
            ("cert-expiry-reminder", {"days_remaining": 3651}, "/days_remaining"),
            ("cert-expiry-reminder", {"days_remaining": "14"}, "/days_remaining"),
            ("cert-expiry-reminder", {"days_remaining": True}, "/days_remaining"),
        ],
    )
    async def test_invalid(self, setup: Setup, name: str, change: dict[str, Any], pointer: str) -> None:
        """A wrong field is 422 with its JSON pointer."""
        answer = await setup.post(name, {**EVENTS_BY_NAME[name].example, **change})

        body = _check_problem(answer, 422, "invalid-request")
        assert [pointer] == [error["pointer"] for error in body["errors"]]
        assert [] == setup.publisher.records

    @pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.name)
    async def test_missing(self, setup: Setup, kind: EventType) -> None:
        """Every missing field has its own error."""
        answer = await setup.post(kind.name, {})

        body = _check_problem(answer, 422, "invalid-request")
        assert {f"/{name}" for name in kind.example} == {error["pointer"] for error in body["errors"]}

    async def test_no_object(self, setup: Setup) -> None:
        """JSON that is not an object is 422, with a pointer to the whole body."""
        body = _check_problem(await setup.post("pause-lifted", [1]), 422, "invalid-request")

        assert [{"pointer": "", "detail": "must be a JSON object"}] == body["errors"]

    @pytest.mark.parametrize("stated", ["text/plain", "application/xml", "application/json; charset=latin-1"])
    async def test_other_content_type(self, setup: Setup, stated: str) -> None:
        """Another content type or charset is 415."""
        answer = await setup.client.post(f"{BASE}/pause-lifted", content=b"{}", headers={"content-type": stated})

        _check_problem(answer, 415, "unsupported-content-type")

    async def test_no_content_type(self, setup: Setup) -> None:
        """A body without a content type is read as JSON."""
        answer = await setup.client.post(f"{BASE}/pause-lifted", content=json.dumps(LIFTED).encode())

        assert 200 == answer.status_code

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_too_large(self, setup: Setup, *, streamed: bool) -> None:
        """A body over 64 KiB is 413, with or without a content length."""

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(65):
                yield b" " * 1024

        content = chunks() if streamed else b" " * 65 * 1024
        answer = await setup.client.post(f"{BASE}/pause-lifted", content=content)

        _check_problem(answer, 413, "too-large")

    async def test_unknown_fields(self, setup: Setup) -> None:
        """An unknown field is ignored and counted."""
        answer = await setup.post("pause-lifted", {**LIFTED, "extra": 1})

        assert 200 == answer.status_code
        assert b'{"mentor_id":"mentor-042"}' == (setup.publisher.records[0].value or b"").replace(b" ", b"")
        counted = setup.facade.metrics.registry.get_sample_value("pause_notifications_unknown_fields_total")
        assert 1.0 == counted

    @pytest.mark.parametrize("key", ['"open', "", '"a"b', "k" * 256, "sch\xf6n"])
    async def test_invalid_key(self, setup: Setup, key: str) -> None:
        """An invalid Idempotency-Key is 400."""
        headers = [(b"idempotency-key", key.encode("latin-1"))]
        answer = await setup.client.post(f"{BASE}/pause-lifted", json=LIFTED, headers=headers)

        _check_problem(answer, 400, "invalid-key")


class TestKeys:
    """Repeated calls."""

    async def test_event_identity(self, setup: Setup) -> None:
        """Endpoint, caller, mentor and key, bare or quoted, make the event's id."""
        await setup.post("pause-lifted", LIFTED, Idempotency_Key="k-1")
        await setup.post("pause-lifted", LIFTED, Idempotency_Key='"k-1"')

        expected = (FACADE_SOURCE, event_id("pause-lifted", "anonymous", "mentor-042", "k-1"))
        events = [decode(record.headers, record.value) for record in setup.publisher.records]
        assert [expected, expected] == [(event.source, event.id) for event in events]
        assert [None, None] == [header(record.headers, names.KEYLESS) for record in setup.publisher.records]

    async def test_same_content(self, setup: Setup) -> None:
        """The same key and content again is answered from the first dispatch and marked as replayed."""
        first = await setup.post("pause-lifted", LIFTED, Idempotency_Key="k-1")
        seen = started(setup.publisher.records[0])
        setup.replica(lambda copy: (SENT(seen) or seen).seen(copy.origin.topic, copy.origin.offset))

        again = await setup.post("pause-lifted", LIFTED, Idempotency_Key="k-1")

        assert 200 == again.status_code
        assert "true" == again.headers["idempotent-replayed"]
        assert first.content == again.content

    async def test_other_content(self, setup: Setup) -> None:
        """The same key with other content is 422; the digest of any record shows it."""
        setup.replica(lambda dispatch: structs.replace(dispatch, digest="f" * 64))

        answer = await setup.post("pause-lifted", LIFTED, Idempotency_Key="k-1")

        body = _check_problem(answer, 422, "key-reused")
        assert answer.headers["dispatch-id"] == body["dispatch_id"]

    async def test_a_failed_one_that_is_reopened(self, setup: Setup) -> None:
        """A final record that is older than the repeated event does not answer it; the later one does."""
        setup.replica(ends(recipient(Role.MENTOR, Status.FAILED, Reason.ATTEMPTS_EXHAUSTED)))
        await setup.post("pause-lifted", LIFTED, Idempotency_Key="k-1")
        first = started(setup.publisher.records[0])
        failed = recipient(Role.MENTOR, Status.FAILED, Reason.ATTEMPTS_EXHAUSTED)
        stale = structs.replace(first, recipients=(failed,))
        sent = structs.replace(recipient(Role.MENTOR, Status.SENT), round=1)
        reopened = structs.replace(first, recipients=(sent,)).seen(first.origin.topic, 1)

        def replica(_record: object) -> None:
            setup.log.append_dispatch(stale)
            setup.log.append_dispatch(reopened)

        setup.publisher.replica = replica
        answer = await setup.post("pause-lifted", LIFTED, Idempotency_Key="k-1")

        assert 200 == answer.status_code

    async def test_keyless(self, setup: Setup) -> None:
        """A call without a key is marked as such, and two of them are two events."""
        await setup.post("pause-lifted", LIFTED)
        await setup.post("pause-lifted", LIFTED)

        first, second = setup.publisher.records
        assert b"1" == header(first.headers, names.KEYLESS)
        assert b"1" == header(second.headers, names.KEYLESS)
        assert decode(first.headers, first.value).id != decode(second.headers, second.value).id

    async def test_keyless_retry(self, setup: Setup) -> None:
        """A call that the owner takes for a retry is marked as replayed."""
        setup.replica(ends(recipient(Role.MENTOR, Status.SENT), retry_of="0" * 32))

        answer = await setup.post("pause-lifted", LIFTED)

        assert 200 == answer.status_code
        assert "true" == answer.headers["idempotent-replayed"]


class TestNotTaken:
    """Events that are not, or may not be, durable."""

    @pytest.mark.parametrize("error", [NotPublished("no"), TooLarge("big")], ids=["no", "too large"])
    async def test_not_published(self, setup: Setup, error: NotPublished) -> None:
        """An event that is certainly not durable is 503 with Retry-After."""
        setup.publisher.will_fail(Failure(error))

        answer = await setup.post("pause-lifted", LIFTED)

        _check_problem(answer, 503, "not-published")
        assert "1" == answer.headers["retry-after"]

    async def test_never_connected(self, setup: Setup) -> None:
        """Before Kafka was ever reached, a call is 503 at once."""
        setup.facade.connection.clients = None

        _check_problem(await setup.post("pause-lifted", LIFTED), 503, "not-published")

    async def test_publish_unknown(self, setup: Setup) -> None:
        """An event that may be durable is 503 with the key that repeats it as the same event."""
        setup.publisher.will_fail(Failure(PublishUnknown("timed out")))

        answer = await setup.post("pause-lifted", LIFTED)
        again = await setup.post("pause-lifted", LIFTED, Idempotency_Key=answer.headers["idempotency-key"])

        body = _check_problem(answer, 503, "publish-unknown")
        assert answer.headers["dispatch-id"] == body["dispatch_id"]
        assert 200 == again.status_code
        assert body["dispatch_id"] == again.headers["dispatch-id"]

    async def test_unknown_but_taken(self, setup: Setup) -> None:
        """If a replica has read the event meanwhile, it is durable after all, and its outcome is the answer."""
        setup.publisher.will_fail(Failure(PublishUnknown("timed out"), durable=True))
        publish = setup.publisher.publish

        async def slowly(*args: Any, **keywords: Any) -> Any:
            try:
                return await publish(*args, **keywords)
            except PublishUnknown:
                count = "pause_notifications_dispatch_records_total"
                registry = setup.facade.metrics.registry
                await until(lambda: registry.get_sample_value(count, {"result": "read"}), what="the dispatch")
                raise

        setup.publisher.publish = slowly  # type: ignore[method-assign]  # the acknowledgement is later than the replica
        answer = await setup.post("pause-lifted", LIFTED)

        assert 200 == answer.status_code

    async def test_given_key_is_given_back(self, setup: Setup) -> None:
        """If the caller gave a key, the answer has that one."""
        setup.publisher.will_fail(Failure(PublishUnknown("timed out")))

        answer = await setup.post("pause-lifted", LIFTED, Idempotency_Key='"k 1"')

        assert "k 1" == answer.headers["idempotency-key"]

    async def test_too_many_callers(self) -> None:
        """One caller beyond the limit is 503 before anything is published."""
        async with fake_facade(max_waiting_callers=1) as setup:
            waiting = asyncio.create_task(setup.post("pause-lifted", LIFTED))
            await until(lambda: setup.publisher.records, what="the first caller to wait")

            answer = await setup.post("pause-lifted", LIFTED)
            setup.log.append_dispatch(SENT(started(setup.publisher.records[0])) or pytest.fail("no dispatch"))

            _check_problem(answer, 503, "too-many-callers")
            assert 200 == (await waiting).status_code
            assert 1 == len(setup.publisher.records)

    async def test_too_many_of_one_caller(self) -> None:
        """A caller beyond its share is 429 before anything is published; others can use the remaining places."""
        async with fake_facade(max_waiting_callers=4, max_waiting_share=0.25) as setup:
            waiting = asyncio.create_task(setup.post("pause-lifted", LIFTED))
            await until(lambda: setup.publisher.records, what="the first call to wait")

            answer = await setup.post("pause-lifted", LIFTED)
            other = httpx.ASGITransport(setup.facade.app, client=("192.0.2.7", 1))
            async with httpx.AsyncClient(transport=other, base_url="http://facade") as client:
                elsewhere = await client.post(f"{BASE}/pause-lifted", json=LIFTED, headers={"Prefer": "wait=0"})
            setup.log.append_dispatch(SENT(started(setup.publisher.records[0])) or pytest.fail("no dispatch"))

            _check_problem(answer, 429, "too-many-of-one-caller")
            assert "1" == answer.headers["retry-after"]
            assert 202 == elsewhere.status_code
            assert 200 == (await waiting).status_code
            assert 2 == len(setup.publisher.records)

    async def test_share_is_the_keys(self, tmp_path: Path) -> None:
        """If keys are required, the share is the key's, whatever address its calls come from."""
        file = keys_file(tmp_path, "billing", "crm")
        async with fake_facade(max_waiting_callers=4, max_waiting_share=0.25, api_keys_file=file) as setup:
            first = asyncio.create_task(setup.post("pause-lifted", LIFTED, X_API_Key=key_of("billing")))
            await until(lambda: setup.publisher.records, what="the first call to wait")

            same = await setup.post("pause-lifted", LIFTED, X_API_Key=key_of("billing"))
            other = await setup.post("pause-lifted", LIFTED, X_API_Key=key_of("crm"), Prefer="wait=0")
            setup.log.append_dispatch(SENT(started(setup.publisher.records[0])) or pytest.fail("no dispatch"))

            assert 429 == same.status_code
            assert 202 == other.status_code
            assert 200 == (await first).status_code

    async def test_stopping(self, setup: Setup) -> None:
        """A facade that stops refuses new calls, is not ready, and still answers callers who wait."""
        setup.replica(never)
        waiting = asyncio.create_task(setup.post("pause-lifted", LIFTED, Prefer="wait=30"))
        await until(lambda: setup.publisher.records, what="a caller to wait")

        await setup.facade.drain(deadline_seconds=0.01)

        answer = await setup.post("pause-lifted", LIFTED)
        _check_problem(answer, 503, "stopping")
        assert "close" == answer.headers["connection"]
        assert 202 == (await waiting).status_code
        assert not setup.facade.ready().ok

    async def test_internal_error(self, setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
        """An internal error before anything is durable is a 500, as a problem."""
        monkeypatch.setattr(setup.facade.calls, "answer", lambda *_arguments: 1 / 0)

        _check_problem(await setup.post("pause-lifted", LIFTED), 500, "internal-error")


class TestDoor:
    """API keys."""

    async def test_closed(self, tmp_path: Path) -> None:
        """With a file of keys, a call without a key is 401 on both kinds of path, and nothing is published."""
        async with fake_facade(api_keys_file=keys_file(tmp_path, "billing")) as setup:
            post = await setup.post("pause-lifted", LIFTED)
            get = await setup.client.get(f"{BASE}/dispatches/{'0' * 32}")

        _check_problem(post, 401, "unknown-api-key")
        _check_problem(get, 401, "unknown-api-key")
        assert [] == setup.publisher.records

    async def test_slowed(self, tmp_path: Path) -> None:
        """After many wrong keys an address is told to wait; a call with a valid key from there is answered."""
        async with fake_facade(api_keys_file=keys_file(tmp_path, "billing")) as setup:
            setup.replica(SENT)
            for _ in range(MAX_FAILURES):
                await setup.post("pause-lifted", LIFTED, X_API_Key="guess")
            slowed = await setup.post("pause-lifted", LIFTED, X_API_Key="guess")
            right = await setup.post("pause-lifted", LIFTED, X_API_Key=key_of("billing"))

        _check_problem(slowed, 429, "too-many-wrong-keys")
        assert 1 <= int(slowed.headers["retry-after"]) <= WINDOW_SECONDS
        assert 200 == right.status_code

    async def test_caller_is_named(self, tmp_path: Path) -> None:
        """With a key, the caller's name is in the event's header and part of its id."""
        async with fake_facade(api_keys_file=keys_file(tmp_path, "billing")) as setup:
            setup.replica(SENT)
            await setup.post("pause-lifted", LIFTED, X_API_Key=key_of("billing"), Idempotency_Key="k")

        record = setup.publisher.records[0]
        assert b"billing" == header(record.headers, names.CALLER)
        expected = event_id("pause-lifted", "billing", "mentor-042", "k")
        assert expected == decode(record.headers, record.value).id

    async def test_same_idempotency_key_of_two_callers(self, tmp_path: Path) -> None:
        """The same Idempotency-Key, mentor and endpoint of two callers make two events, unknown to each other."""
        async with fake_facade(api_keys_file=keys_file(tmp_path, "billing", "crm")) as setup:
            setup.replica(SENT)
            one = await setup.post("pause-lifted", LIFTED, X_API_Key=key_of("billing"), Idempotency_Key="k")
            other = await setup.post(
                "pause-lifted", {**LIFTED, "extra": 1}, X_API_Key=key_of("crm"), Idempotency_Key="k"
            )

        assert 200 == one.status_code
        assert 200 == other.status_code
        assert 2 == len(setup.publisher.records)
        assert one.headers["dispatch-id"] != other.headers["dispatch-id"]
        assert "idempotent-replayed" not in other.headers


class TestFromAPage:
    """Calls that a web page has its visitor's browser send."""

    PAGES = (
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://facade", "Sec-Fetch-Site": "same-origin"},
    )
    BODY = json.dumps(LIFTED).encode()

    @pytest.mark.parametrize("headers", PAGES, ids=str)
    async def test_without_a_type(self, setup: Setup, headers: dict[str, str]) -> None:
        """A body without a content type from a web page is 415 if no keys are required; nothing is published."""
        answer = await setup.client.post(f"{BASE}/pause-lifted", content=self.BODY, headers=headers)

        _check_problem(answer, 415, "unsupported-content-type")
        assert [] == setup.publisher.records

    @pytest.mark.parametrize("headers", PAGES, ids=str)
    async def test_with_a_json_type(self, setup: Setup, headers: dict[str, str]) -> None:
        """A JSON content type is accepted from anybody: a browser asks first, and is refused."""
        assert 200 == (await setup.post("pause-lifted", LIFTED, **headers)).status_code

    @pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin"}], ids=str)
    async def test_from_no_page(self, setup: Setup, headers: dict[str, str]) -> None:
        """A call that no other site's page sent needs no content type."""
        answer = await setup.client.post(f"{BASE}/pause-lifted", content=self.BODY, headers=headers)

        assert 200 == answer.status_code

    @pytest.mark.parametrize("headers", PAGES, ids=str)
    async def test_with_a_key(self, tmp_path: Path, headers: dict[str, str]) -> None:
        """If keys are required, no content type is needed: a page does not know a key."""
        async with fake_facade(api_keys_file=keys_file(tmp_path, "billing")) as setup:
            setup.replica(SENT)
            named = {**headers, "X-API-Key": key_of("billing")}
            answer = await setup.client.post(f"{BASE}/pause-lifted", content=self.BODY, headers=named)

        assert 200 == answer.status_code

    async def test_a_browser_is_told_no(self, setup: Setup) -> None:
        """A browser that asks whether a page may send a JSON type gets no permission."""
        asks = {
            "Origin": "https://elsewhere.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        answer = await setup.client.request("OPTIONS", f"{BASE}/pause-lifted", headers=asks)

        _check_problem(answer, 405, "method-not-allowed")
        assert [] == [name for name in answer.headers if name.startswith("access-control-")]


class TestTrace:
    """Trace context."""

    async def test_goes_on(self, setup: Setup) -> None:
        """A caller's trace continues in the event's headers and in problems."""
        parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        await setup.post("pause-lifted", LIFTED, traceparent=parent)
        problem = await setup.post("pause-lifted", {}, traceparent=parent)

        handed_on = header_text(setup.publisher.records[0].headers, names.TRACE_PARENT) or ""
        assert [parent.split("-")[1], "01"] == handed_on.split("-")[1::2]
        assert parent.split("-")[1] == problem.json()["trace_id"]


class TestWhere:
    """The state of a dispatch."""

    async def _accepted(self, setup: Setup, name: str = "pause-lifted") -> str:
        setup.replica(never)
        answer = await setup.post(name, EVENTS_BY_NAME[name].example, Prefer="wait=0")
        location: str = answer.headers["location"]
        return location

    @pytest.mark.parametrize("prefix", ["", BASE])
    async def test_pending(self, setup: Setup, prefix: str) -> None:
        """An accepted event without a record is 200, the mentor alone pending, on both paths."""
        location = await self._accepted(setup, "cert-expiry-reminder")

        answer = await setup.client.get(prefix + location)

        expected = (
            b'{"mentor_id":"mentor-042","days_remaining":14,"notifications_dispatched":[{"recipient":"mentor-042",'
            b'"channel":"email","status":"pending","message_id":null}],"dispatched_at":"2026-03-26T08:29:58Z"}'
        )
        assert 200 == answer.status_code
        assert expected == answer.content
        assert "2" == answer.headers["retry-after"]

    async def test_on_another_facade(self, setup: Setup) -> None:
        """A facade that has not seen the dispatch reads it and its event from their topics."""
        location = await self._accepted(setup)
        dispatch = SENT(started(setup.publisher.records[0]))
        assert dispatch is not None

        async with fake_facade(recent_dispatches=0) as other:
            other.log.records.update(setup.log.records)
            other.log.append_dispatch(dispatch)
            answer = await other.client.get(location)

        assert 200 == answer.status_code
        assert ["sent", "sent"] == [one["status"] for one in answer.json()["notifications_dispatched"]]
        assert "2026-03-26T08:30:00Z" == answer.json()["dispatched_at"]

    async def test_failed(self, setup: Setup) -> None:
        """A failed dispatch is 200 here: the event was accepted."""
        location = await self._accepted(setup)
        outcome = ends(recipient(Role.MENTOR, Status.FAILED, Reason.ATTEMPTS_EXHAUSTED))
        setup.log.append_dispatch(outcome(started(setup.publisher.records[0])) or pytest.fail("no dispatch"))

        answer = await setup.client.get(location)

        assert 200 == answer.status_code
        assert "attempts_exhausted" == answer.json()["notifications_dispatched"][0]["reason"]

    async def test_unknown_mentor(self, setup: Setup) -> None:
        """An unknown mentor is 200 with an empty list and the reason beside it."""
        location = await self._accepted(setup)
        outcome = ends(unknown_mentor=True)
        setup.log.append_dispatch(outcome(started(setup.publisher.records[0])) or pytest.fail("no dispatch"))

        answer = await setup.client.get(location)

        expected = {
            "mentor_id": "mentor-042",
            "notifications_dispatched": [],
            "dispatched_at": "2026-03-26T08:29:58Z",
            "reason": "unknown_mentor",
        }
        assert 200 == answer.status_code
        assert expected == answer.json()

    async def test_without_place(self, setup: Setup) -> None:
        """Without `at`, a facade answers for what it has seen recently."""
        answer = await setup.post("pause-lifted", LIFTED)

        seen = await setup.client.get(f"{BASE}/dispatches/{answer.headers['dispatch-id']}")

        assert 200 == seen.status_code
        assert answer.content == seen.content

    async def test_without_place_of_another_producer(self, setup: Setup) -> None:
        """Without `at`, a dispatch that others started is found by the origin in its record."""
        location = await self._accepted(setup)
        dispatch = SENT(started(setup.publisher.records[0]))
        assert dispatch is not None

        async with fake_facade() as other:
            other.log.records.update(setup.log.records)
            other.log.append_dispatch(dispatch)
            path = location.split("?")[0]
            answer = await until(lambda: _found(other, path), what="the dispatch to be seen")

        assert answer is not None
        assert "2026-03-26T08:30:00Z" == answer.json()["dispatched_at"]

    async def test_not_lately_seen(self, setup: Setup) -> None:
        """Without `at`, a dispatch that was not seen recently is a 404 that says so."""
        answer = await setup.client.get(f"{BASE}/dispatches/{'0' * 32}")

        _check_problem(answer, 404, "not-lately-seen")

    @pytest.mark.parametrize("dispatch_id", ["0" * 31, "0" * 33, "A" * 32, "g" * 32])
    @pytest.mark.parametrize("query", ["", "?at=mentor.pauses.v1-0-0"])
    async def test_malformed_id(self, setup: Setup, dispatch_id: str, query: str) -> None:
        """A malformed id is a 404 that says so."""
        answer = await setup.client.get(f"{BASE}/dispatches/{dispatch_id}{query}")

        body = _check_problem(answer, 404, "no-such-dispatch")
        assert "The id is malformed: it must be 32 lower-case hex digits." == body["detail"]

    @pytest.mark.parametrize("at", ["", "mentor.pauses.v1", "mentor.pauses.v1-0", "mentor.pauses.v1-0-x"])
    async def test_malformed_place(self, setup: Setup, at: str) -> None:
        """A malformed position is a 404 that says so."""
        answer = await setup.client.get(f"{BASE}/dispatches/{'0' * 32}", params={"at": at})

        body = _check_problem(answer, 404, "no-such-dispatch")
        assert body["detail"].startswith("`at` is malformed: it must be topic-partition-offset")

    @pytest.mark.parametrize(
        "at",
        [
            "mentor.pauses.v1-{p}-7",
            "mentor.pauses.v1-99-0",
            "pause-notifications.dispatches.v1-{p}-0",
            "__consumer_offsets-0-0",
            "mentor.certifications.v1-{p}-0",
        ],
    )
    async def test_wrong_place(self, setup: Setup, at: str) -> None:
        """A position without the event, or in a topic without events, is 404."""
        path = (await self._accepted(setup)).split("?")[0]

        answer = await setup.client.get(path, params={"at": at.format(p=partition_for("mentor-042", PARTITIONS))})

        _check_problem(answer, 404, "no-such-dispatch")

    async def test_another_dispatchs_place(self, setup: Setup) -> None:
        """The event at the position must be the dispatch's own."""
        at = (await self._accepted(setup)).split("?")[1]

        _check_problem(await setup.client.get(f"{BASE}/dispatches/{'0' * 32}?{at}"), 404, "no-such-dispatch")

    async def test_no_event_there(self, setup: Setup) -> None:
        """A record that is not an event is 404."""
        setup.log.append(Place("mentor.pauses.v1", 0), key=b"k", value=b"junk")

        answer = await setup.client.get(f"{BASE}/dispatches/{'0' * 32}?at=mentor.pauses.v1-0-0")

        _check_problem(answer, 404, "no-such-dispatch")

    async def test_kafka_away(self, setup: Setup) -> None:
        """If Kafka does not answer, it is 503: try again."""
        location = await self._accepted(setup)
        setup.log.fail(TimeoutError())

        answer = await setup.client.get(location)

        _check_problem(answer, 503, "try-again")
        assert "1" == answer.headers["retry-after"]


async def _found(setup: Setup, path: str) -> httpx.Response | None:
    answer = await setup.client.get(path)
    return answer if answer.status_code == httpx.codes.OK else None
