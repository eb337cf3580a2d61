"""Traces of the real programs on a real broker, as a collector gets them."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio

from deploy.local.ports import HOST, free_ports
from tests.collector import CollectedSpan, Collector, collecting
from tests.kafka import Kafka
from tests.sqs import local_sqs
from tests.stage import Stage, an_event, open_stage, personal_data_in
from tests.waiting import until

MENTOR = "mentor-001"
EMAILS = 4
"""Two events that succeed, for a mentor and a coordinator each."""
CALLERS = ("a" * 32, "b" * 16)
PRODUCERS = ("c" * 32, "d" * 16)
ALLOWED = {
    "error.type",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "messaging.consumer.group.name",
    "messaging.destination.name",
    "messaging.destination.partition.id",
    "messaging.kafka.offset",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.system",
    "pause_notifications.dispatch_id",
    "pause_notifications.message_id",
    "rpc.method",
    "rpc.service",
    "rpc.system",
    "url.scheme",
}


def traceparent(ids: tuple[str, str]) -> str:
    """Return the header of a sampled context."""
    return f"00-{ids[0]}-{ids[1]}-01"


@dataclass
class Played:
    """What one run left behind."""

    stage: Stage
    collector: Collector
    answers: list[httpx.Response] = field(default_factory=list)
    produced: str = ""
    """The dispatch of the event that another producer published."""

    def named(self, name: str, trace_id: str = CALLERS[0]) -> list[CollectedSpan]:
        """Return the spans of a trace whose name begins so."""
        return [one for one in self.collector.of(trace_id) if one.name.startswith(name)]

    def lines(self) -> list[dict[str, Any]]:
        """Return the log lines of the replica."""
        return [json.loads(line) for line in self.stage.processes[0].log.read_text().splitlines() if line[:1] == "{"]


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="played")
async def _played(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Played]:
    """
    Play one run: facade and replica with feedback, level debug.

    A call succeeds, one is refused, one is no JSON; SES refuses an e-mail and quotes its address; another producer
    publishes.
    """
    namespace, logs = f"t-{secrets.token_hex(4)}", tmp_path_factory.mktemp("traces")
    (port,) = free_ports(1)
    base = f"http://{HOST}:{port}/api/v1/pause-notifications"
    with collecting() as collector, local_sqs(logs) as sqs:
        async with (
            open_stage(kafka.bootstrap_servers, namespace, logs, queue=await sqs.queue(namespace)) as stage,
            httpx.AsyncClient(base_url=base, trust_env=False, timeout=30) as http,
        ):
            stage.more_environ = collector.environ
            played = Played(stage, collector)
            await stage.start(tracing="true", log_level="debug")
            await stage.start("service", http_port=port, tracing="true", log_level="debug")

            async def post(**body: str) -> None:
                headers = {"traceparent": traceparent(CALLERS), "Prefer": "wait=10"}
                played.answers.append(await http.post("/pause-lifted", json=body, headers=headers))

            await post(mentor_id=MENTOR)
            await post(wrong=MENTOR)
            await http.get(f"/{MENTOR}@example.org", headers={"traceparent": MENTOR})
            event = an_event(mentor_id=MENTOR)
            await stage.publish(event, ("traceparent", traceparent(PRODUCERS).encode()))
            await stage.all_ended([event])
            await until(lambda: _delivered(collector) >= EMAILS, what="feedback about each e-mail")
            await stage.ses.set(sandbox=True)
            await post(mentor_id=MENTOR)
            for process in stage.processes:
                assert 0 == await process.stop()
            played.produced = event.dispatch_id
            yield played


def _delivered(collector: Collector) -> int:
    return sum(one.name.startswith("process ") and "feedback" in one.name for one in list(collector.spans))


@pytest.mark.asyncio(loop_scope="module")
class TestOneRun:
    """Everything that a run exported."""

    async def test_a_call_is_one_trace(self, played: Played) -> None:
        """The caller's span, the request, its event, the processing and the e-mails are parents and children."""
        (request, *_), (event, *_), (processing, *_) = (played.named(name) for name in ("POST", "send", "process"))
        emails = [one for one in played.named("SESv2.SendEmail") if one.parent_id == processing.span_id]

        assert [CALLERS[1], request.span_id, event.span_id] == [one.parent_id for one in (request, event, processing)]
        assert ["SERVER", "PRODUCER", "CONSUMER"] == [one.kind for one in (request, event, processing)]
        assert ["CLIENT", "CLIENT"] == [one.kind for one in emails]
        assert {"pause-notifications-service", "pause-notifications-consumers"} == {
            one.service for one in played.collector.of(CALLERS[0])
        }

    async def test_a_processing_names_its_dispatch_and_its_steps(self, played: Played) -> None:
        """The process span has the id of the dispatch, and an event for each step that is durable."""
        processing = played.named("process")[0]

        assert played.answers[0].headers["Dispatch-Id"] == processing.attributes["pause_notifications.dispatch_id"]
        assert ("taken", "intent_recorded", "answered", "outcome_recorded") == processing.events

    async def test_problems_have_the_trace(self, played: Played) -> None:
        """A problem's `trace_id` is the trace of its request's span."""
        assert [422, CALLERS[0]] == [played.answers[1].status_code, played.answers[1].json()["trace_id"]]
        assert {200, 422} == {one.attributes["http.response.status_code"] for one in played.named("POST")}

    async def test_another_producer_is_linked(self, played: Played) -> None:
        """An event of another producer begins a trace of its own, which links to the producer's span."""
        (processing,) = [
            one
            for one in played.collector.spans
            if one.attributes.get("pause_notifications.dispatch_id") == played.produced
        ]

        assert (PRODUCERS,) == processing.links
        assert "" == processing.parent_id
        assert [] == played.collector.of(PRODUCERS[0])

    async def test_feedback_links_back(self, played: Played) -> None:
        """The processing of SES's feedback links to the span of the send."""
        sends = {(one.trace_id, one.span_id) for one in played.collector.spans if one.kind == "CLIENT"}
        feedback = [one for one in played.collector.spans if "feedback" in one.name]

        assert EMAILS <= len(feedback)
        assert [] == [one for one in feedback if len(one.links) != 1 or one.links[0] not in sends]

    async def test_each_line_of_a_dispatch_has_its_trace(self, played: Played) -> None:
        """Every line that names a dispatch names its trace, too."""
        lines = [line for line in played.lines() if "dispatch" in line]

        assert [] == [line for line in lines if not _TRACE_ID.fullmatch(line.get("trace_id", ""))]
        assert CALLERS[0] in {line["trace_id"] for line in lines if line["event"] == "dispatch.ended"}

    async def test_a_refused_email_has_no_text(self, played: Played) -> None:
        """A refusal is named by its kind: SES's text quotes the address."""
        failed = [one for one in played.named("SESv2.SendEmail") if one.failed]

        assert ({"Refused"}, {""}) == (
            {one.attributes["error.type"] for one in failed},
            {one.message for one in failed},
        )

    async def test_no_attribute_is_about_a_person(self, played: Played) -> None:
        """No span of the run has an attribute beyond the documented ones, an address, a name or a contact's id."""
        exported = "".join(body.decode("latin-1") for body in played.collector.exported)
        ids = [contact.id for contact in played.stage.contacts if contact.id in exported]

        assert set() == {name for one in played.collector.spans for name in one.attributes} - ALLOWED
        assert [] == ids + personal_data_in(exported, played.stage.contacts, set())


_TRACE_ID = re.compile("[0-9a-f]{32}")
