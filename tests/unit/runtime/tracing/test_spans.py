"""Spans, and trace contexts of strangers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import SpanKind

from runtime.tracing.spans import context_of, read_traceparent, span, traceparent_of
from tests.unit.runtime.tracing.spans import recording

VALID = f"00-{'a' * 32}-{'b' * 16}-01"
HEX = "0123456789abcdef"


@given(st.text(max_size=200) | st.from_regex("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", fullmatch=True))
def test_any_text_is_a_context_or_none(text: str) -> None:
    """Whatever a stranger writes, the result is a valid remote context or None."""
    found = read_traceparent(text)

    assert found is None or (found.is_valid and found.is_remote)


@given(st.text(HEX, min_size=32, max_size=32), st.text(HEX, min_size=16, max_size=16), st.sampled_from(["00", "01"]))
def test_a_context_goes_through_a_span(trace_id: str, span_id: str, flags: str) -> None:
    """A span continues the trace of a valid context, and says so to others."""
    text = f"00-{trace_id}-{span_id}-{flags}"
    parent = read_traceparent(text)
    tracer, _ = recording()
    with span(tracer, "one", SpanKind.SERVER, {}, context=context_of(parent)) as opened:
        handed_on = traceparent_of(opened)

    assert (parent is None) is (not trace_id.strip("0") or not span_id.strip("0"))
    assert re.fullmatch(f"00-{trace_id if parent else '[0-9a-f]{32}'}-[0-9a-f]{{16}}-0[13]", handed_on)
    assert span_id not in handed_on.split("-")


def test_too_long_a_text_costs_nothing() -> None:
    """A long text is not even given to the library, which would log a line about it."""
    assert [None, None] == [read_traceparent(VALID + "0" * 600), read_traceparent(None)]


def test_an_exception_is_named_by_its_kind_alone() -> None:
    """A failed span has the exception's type and neither its text nor its traceback, which may quote a person."""
    tracer, kept = recording()
    with pytest.raises(ValueError, match="example"), span(tracer, "one", SpanKind.CLIENT, {}):
        raise ValueError("mentor@example.org")
    (found,) = kept.get_finished_spans()

    assert {"error.type": "ValueError"} == dict(found.attributes or {})
    assert "example" not in found.to_json()


def test_an_expected_exception_is_no_failure() -> None:
    """An exception that is an ordinary end does not mark the span as failed."""
    tracer, kept = recording()
    with pytest.raises(KeyError), span(tracer, "one", SpanKind.CLIENT, {}, expected=(KeyError,)):
        raise KeyError
    (found,) = kept.get_finished_spans()

    assert {} == dict(found.attributes or {})
