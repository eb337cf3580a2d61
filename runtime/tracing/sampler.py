"""Bound what a stranger's `sampled` flag may cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

from runtime.tracing.spans import context_of

STRANGERS_A_SECOND = 50
"""Spans a second that are recorded because a caller or a producer asks for it, for each program."""


class BoundedSampler(Sampler):
    """
    Another sampler, which follows a context from outside at most so often a second, whether as a parent or as a link.

    Callers and producers choose both their `sampled` flag and their trace ids. With them they could have everything
    recorded, whatever ratio is set.
    """

    def __init__(self, sampler: Sampler, monotonic: Callable[[], float]) -> None:
        self._sampler = sampler
        self._monotonic = monotonic
        self._left = float(STRANGERS_A_SECOND)
        self._counted_at = monotonic()

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return the other sampler's decision; refuse what strangers ask for beyond the bound."""
        from_outside = _from_outside(parent_context, links or ())
        context = parent_context if from_outside is None else context_of(from_outside)
        result = self._sampler.should_sample(context, trace_id, name, kind, attributes, links, trace_state)
        asked = from_outside is not None and from_outside.trace_flags.sampled
        if asked and result.decision is Decision.RECORD_AND_SAMPLE and not self._take():
            return SamplingResult(Decision.DROP)
        return result

    def get_description(self) -> str:
        """Return a short description."""
        return f"BoundedSampler({self._sampler.get_description()})"

    def _take(self) -> bool:
        now = self._monotonic()
        self._left = min(self._left + (now - self._counted_at) * STRANGERS_A_SECOND, STRANGERS_A_SECOND)
        self._counted_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def _from_outside(context: Context | None, links: Sequence[Link]) -> SpanContext | None:
    """Return the remote parent or, for a span without any parent, its first link."""
    parent = get_current_span(context).get_span_context()
    if parent.is_valid:
        return parent if parent.is_remote else None
    return next((link.context for link in links if link.context.is_remote), None)
