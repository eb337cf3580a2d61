"""Records that carry the span of their publish."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from runtime.kafka.publisher import NotPublished
from runtime.tracing.publisher import TracedPublisher
from runtime.tracing.spans import context_of, read_traceparent, traceparent_of
from schemas.headers import TRACE_PARENT, Headers
from tests.fakes.kafka_log import FakeLog
from tests.fakes.publisher import Failure, FakePublisher
from tests.unit.runtime.tracing.spans import recording

FOREIGN = f"00-{'a' * 32}-{'b' * 16}-01"
OTHER = ("ce_id", b"1")


class Stage:
    """A traced publisher, and what it wrote and exported."""

    def __init__(self) -> None:
        self.tracer: Tracer
        self.kept: InMemorySpanExporter
        self.tracer, self.kept = recording()
        self.publisher = FakePublisher(FakeLog())
        self.traced = TracedPublisher(self.publisher, self.tracer, ["events"])

    async def publish(self, topic: str = "events", headers: Headers = ()) -> Headers:
        """Publish a record and return the headers that it has then."""
        await self.traced.publish(topic, 3, key=b"mentor-042", value=b"{}", headers=headers)
        return self.publisher.records[-1].headers


async def test_a_record_carries_its_span() -> None:
    """The header names the producer span, which has place and offset, and no key."""
    stage = Stage()
    headers = dict(await stage.publish(headers=[OTHER]))
    (span,) = stage.kept.get_finished_spans()
    context = read_traceparent((headers[TRACE_PARENT] or b"").decode())

    assert context is not None
    assert span.context is not None
    assert (span.context.trace_id, span.context.span_id) == (context.trace_id, context.span_id)
    assert {"events", "3", 0} <= set((span.attributes or {}).values())
    assert "mentor-042" not in span.to_json()


async def test_a_context_of_this_trace_is_replaced() -> None:
    """A caller's request and the event's publish are one trace: the header names the nearer span."""
    stage = Stage()
    with stage.tracer.start_as_current_span("request") as request:
        before = traceparent_of(request)
        headers = await stage.publish(headers=[(TRACE_PARENT, before.encode()), OTHER])
    after = (dict(headers)[TRACE_PARENT] or b"").decode()

    assert [OTHER[0], TRACE_PARENT] == [name for name, _ in headers]
    assert before.split("-")[1] == after.split("-")[1]
    assert before.split("-")[2] != after.split("-")[2]


async def test_the_producers_own_context_is_kept() -> None:
    """A record that is moved keeps the context of its producer; the span links to it."""
    stage = Stage()
    headers: Headers = [(TRACE_PARENT, FOREIGN.encode())]
    with stage.tracer.start_as_current_span("process", context_of(None)):
        written = await stage.publish(headers=headers)
    links = [link.context for span in stage.kept.get_finished_spans() for link in span.links]

    assert headers == written
    assert [read_traceparent(FOREIGN)] == links


async def test_other_topics_are_left_alone() -> None:
    """Records of our own bookkeeping get no header and no span."""
    stage = Stage()

    assert () == tuple(await stage.publish("dispatches", ()))
    assert () == stage.kept.get_finished_spans()


async def test_a_failure_is_named_and_raised() -> None:
    """A publish that fails fails as before; its span says how."""
    stage = Stage()
    stage.publisher.will_fail(Failure(NotPublished("of mentor@example.org")))
    with pytest.raises(NotPublished):
        await stage.publish()
    (span,) = stage.kept.get_finished_spans()

    assert "NotPublished" == (span.attributes or {})["error.type"]
    assert "example" not in span.to_json()


@pytest.mark.parametrize("connected", [True, False])
def test_the_connection_is_known(*, connected: bool) -> None:
    """Readiness asks the publisher itself."""
    stage = Stage()
    stage.publisher.connected = connected

    assert connected is stage.traced.connected
