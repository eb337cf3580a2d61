"""Begin spans, and read and write W3C trace contexts. A span holds no exception's text, which may quote a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()
_HEADER = "traceparent"
_MOST_CHARACTERS = 128
"""A trace context of version 0 has 55; the library logs a warning for each one over 512."""

NO_PARENT = Context()


@contextmanager
def span(
    tracer: Tracer,
    name: str,
    kind: SpanKind,
    attributes: Mapping[str, str | int],
    *,
    context: Context | None = None,
    links: Sequence[Link] = (),
    expected: tuple[type[Exception], ...] = (),
) -> Iterator[Span]:
    """
    Open a span that is current until the context ends; an exception marks it as failed, unless it is *expected*.

    Without a *context* its parent is the current span.
    """
    with tracer.start_as_current_span(
        name,
        context,
        kind,
        dict(attributes),
        list(links),
        record_exception=False,
        set_status_on_exception=False,
    ) as opened:
        try:
            yield opened
        except expected:
            raise
        except Exception as error:
            fail(opened, type(error).__name__)
            raise


def fail(failed: Span, kind: str) -> None:
    """Mark a span as failed; *kind* is one of few names."""
    failed.set_attribute("error.type", kind)
    failed.set_status(StatusCode.ERROR)


def read_traceparent(text: str | None) -> SpanContext | None:
    """Return the context that a stranger's `traceparent` holds, or None. Its `tracestate` is not carried on."""
    if text is None or len(text) > _MOST_CHARACTERS:
        return None
    found = trace.get_current_span(_PROPAGATOR.extract({_HEADER: text}, NO_PARENT)).get_span_context()
    return found if found.is_valid else None


def context_of(parent: SpanContext | None) -> Context:
    """Return the context in which a span is the child of *parent*, or has no parent."""
    return NO_PARENT if parent is None else trace.set_span_in_context(NonRecordingSpan(parent), NO_PARENT)


def traceparent_of(opened: Span) -> str:
    """Return the `traceparent` that makes others children of a span."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, trace.set_span_in_context(opened, NO_PARENT))
    return carrier[_HEADER]


def trace_id_of(opened: Span) -> str:
    """Return the id of a span's trace."""
    return trace.format_trace_id(opened.get_span_context().trace_id)
