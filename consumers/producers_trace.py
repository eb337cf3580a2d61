"""Which trace the log lines of a record belong to, if tracing is off: the one that its producer names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from consumers.assignment.assignment import Assignment
from consumers.delivery.event_headers import trace_parent
from runtime.kafka.records import Record

Process = Callable[[Record, Assignment], Awaitable[None]]

_TRACE_ID = slice(3, 35)


def in_producers_trace(process: Process) -> Process:
    """Return *process*, which adds the `trace_id` of a record's `traceparent` to all log lines of its processing."""

    async def processing(record: Record, assignment: Assignment) -> None:
        text = trace_parent(record)
        if text is None:
            await process(record, assignment)
            return
        with structlog.contextvars.bound_contextvars(trace_id=text[_TRACE_ID]):
            await process(record, assignment)

    return processing
