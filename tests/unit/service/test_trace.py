"""The trace context of a request."""

from __future__ import annotations

from uuid import UUID

import pytest

from service.trace import begin_trace

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"


def _new_id() -> UUID:
    return UUID(int=7 << 64 | 7)


@pytest.mark.parametrize("text", [f"00-{TRACE_ID}-{SPAN_ID}-01", f"cc-{TRACE_ID}-{SPAN_ID}-01-more"])
def test_continues(text: str) -> None:
    """The caller's trace and flags are kept, and this request is the next parent."""
    trace = begin_trace(text, _new_id)

    assert f"00-{TRACE_ID}-{_new_id().hex[:16]}-01" == trace.parent


@pytest.mark.parametrize(
    "text",
    [
        None,
        "junk",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01-more",
    ],
)
def test_begins(text: str | None) -> None:
    """Without a valid trace, a new one is begun."""
    trace = begin_trace(text, _new_id)

    assert _new_id().hex == trace.trace_id
    assert str(_new_id()) == trace.request_id
