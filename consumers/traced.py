"""What a replica does in spans, if tracing is on: the processing of a record, and a call to SES."""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog
from opentelemetry.trace import Link, SpanKind, Tracer, get_current_span

from consumers.assignment.assignment import Assignment, LeftInLog, Revoked
from consumers.delivery.event_headers import trace_parent
from consumers.email import Email, EmailSender
from consumers.feedback.messages import TRACE_TAG
from consumers.producers_trace import Process
from consumers.steps import Reached, Step
from runtime.kafka.records import Record
from runtime.tracing.spans import context_of, read_traceparent, span, trace_id_of, traceparent_of
from schemas.events import OUR_SOURCES
from schemas.headers import header_text

_DISPATCH_ID = "pause_notifications.dispatch_id"
_MESSAGE_ID = "pause_notifications.message_id"
_SES = {"rpc.system": "aws-api", "rpc.service": "SESv2", "rpc.method": "SendEmail"}
_OF_A_DISPATCH = frozenset(
    {
        Step.MOVED,
        Step.INTENT_RECORDED,
        Step.ANSWERED,
        Step.PENDING_RECORDED,
        Step.OUTCOME_RECORDED,
        Step.SETTLED,
    }
)


@dataclass(frozen=True)
class TracedProcessing:
    """Processes each record in a span of its own."""

    process: Process
    tracer: Tracer
    group: str

    async def __call__(self, record: Record, assignment: Assignment) -> None:
        """Process a record to its end."""
        sender = read_traceparent(trace_parent(record))
        attributes: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": record.topic,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.consumer.group.name": self.group,
            "messaging.kafka.offset": record.offset,
        }
        with (
            span(
                self.tracer,
                f"process {record.topic}",
                SpanKind.CONSUMER,
                attributes,
                context=context_of(sender if _is_ours(record) else None),
                links=[] if sender is None else [Link(sender)],
                expected=(Revoked, LeftInLog),
            ) as opened,
            structlog.contextvars.bound_contextvars(trace_id=trace_id_of(opened)),
        ):
            await self.process(record, assignment)


def _is_ours(record: Record) -> bool:
    """
    Return whether a record says that one of our programs published its event: one call, one event, one trace.

    Another producer may publish a hundred thousand events in one span. Each of them gets a trace of its own.
    """
    return header_text(record.headers, "ce_source") in OUR_SOURCES


@dataclass(frozen=True)
class TracedSender:
    """Hands each e-mail to the provider in a span, which SES's later messages name: its context is a tag."""

    sender: EmailSender
    tracer: Tracer

    async def send(self, email: Email) -> str:
        """Hand *email* to the provider and return its message id; raise EmailError and nothing else."""
        with span(self.tracer, "SESv2.SendEmail", SpanKind.CLIENT, _SES) as opened:
            tags = {**email.tags, TRACE_TAG: traceparent_of(opened)}
            message_id = await self.sender.send(replace(email, tags=tags))
            opened.set_attribute(_MESSAGE_ID, message_id)
        return message_id


def steps_in_spans(reached: Reached) -> Reached:
    """Return a listener that also adds each step to the current span."""

    def listen(step: Step, of: str) -> None:
        current = get_current_span()
        if current.is_recording():
            current.add_event(step.value)
            if step in _OF_A_DISPATCH:
                current.set_attribute(_DISPATCH_ID, of)
        reached(step, of)

    return listen
