"""A publisher whose records carry the span of their publish."""

from __future__ import annotations

from collections.abc import Collection
from typing import Unpack

from opentelemetry.trace import Link, SpanKind, Tracer, get_current_span

from runtime.kafka.publisher import ConnectedPublisher, Content, Published
from runtime.tracing.spans import read_traceparent, span, traceparent_of
from schemas.headers import TRACE_PARENT, header_text


class TracedPublisher:
    """
    Publishes records of *topics* in a producer span, whose context becomes their `traceparent`; others as they are.

    A context of another trace is the producer's own, on a record that is moved. It is kept.
    """

    def __init__(self, publisher: ConnectedPublisher, tracer: Tracer, topics: Collection[str]) -> None:
        self._publisher = publisher
        self._tracer = tracer
        self._topics = frozenset(topics)

    @property
    def connected(self) -> bool:
        """Return whether any broker is known to answer."""
        return self._publisher.connected

    async def publish(self, topic: str, partition: int, **content: Unpack[Content]) -> Published:
        """Write a record; raise a PublishError and nothing else."""
        if topic not in self._topics:
            return await self._publisher.publish(topic, partition, **content)
        attributes = {
            "messaging.system": "kafka",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": topic,
            "messaging.destination.partition.id": str(partition),
        }
        headers = content.get("headers", ())
        known = read_traceparent(header_text(headers, TRACE_PARENT))
        is_foreign = known is not None and known.trace_id != get_current_span().get_span_context().trace_id
        links = [Link(known)] if known is not None and is_foreign else []
        with span(self._tracer, f"send {topic}", SpanKind.PRODUCER, attributes, links=links) as opened:
            if not is_foreign:
                others = [pair for pair in headers if pair[0] != TRACE_PARENT]
                content["headers"] = [*others, (TRACE_PARENT, traceparent_of(opened).encode())]
            published = await self._publisher.publish(topic, partition, **content)
            opened.set_attribute("messaging.kafka.offset", published.offset)
        return published
