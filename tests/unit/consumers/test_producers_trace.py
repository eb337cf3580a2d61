"""Which trace the lines of a record belong to."""

from __future__ import annotations

from typing import cast

import pytest
import structlog

from consumers.assignment.assignment import Assignment
from consumers.producers_trace import in_producers_trace
from runtime.kafka.records import Record
from schemas.headers import TRACE_PARENT
from tests.fakes.kafka_log import APPENDED_AT


@pytest.mark.parametrize(
    ("text", "expected"),
    [(f"00-{'a' * 32}-{'b' * 16}-00", "a" * 32), ("mentor@example.org", None), ("0" * 5000, None)],
    ids=["a trace", "an address", "too much"],
)
async def test_lines_have_the_producers_trace(text: str, expected: str | None) -> None:
    """Each line while a record is processed has the trace id of its header, if that is a trace context."""
    bound: list[object] = []

    async def process(_record: Record, _assignment: Assignment) -> None:
        bound.append(structlog.contextvars.get_contextvars().get("trace_id"))

    record = Record("events", 0, 0, None, None, [(TRACE_PARENT, text.encode())], APPENDED_AT, 0)
    await in_producers_trace(process)(record, cast("Assignment", None))

    assert [expected] == bound
    assert "trace_id" not in structlog.contextvars.get_contextvars()
