"""What a stranger's `sampled` flag may cost."""

from __future__ import annotations

from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags

from runtime.tracing.sampler import STRANGERS_A_SECOND, BoundedSampler
from runtime.tracing.spans import NO_PARENT, context_of
from tests.fakes.clock import FakeClock
from tests.unit.runtime.tracing.spans import recording

NEVER_BY_ITSELF = ParentBased(ALWAYS_OFF)


def outside(*, sampled: bool) -> SpanContext:
    """Return a stranger's context."""
    return SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(int(sampled)))


class Asked:
    """A sampler with a clock, and how often it recorded."""

    def __init__(self, sampler: Sampler) -> None:
        self.clock = FakeClock()
        self.sampler = BoundedSampler(sampler, self.clock.monotonic)

    def children(self, count: int, *, sampled: bool = True) -> int:
        """Ask for children of a stranger's span; return how many are recorded."""
        return self._recorded(count, context_of(outside(sampled=sampled)))

    def linked(self, count: int, *, sampled: bool = True) -> int:
        """Ask for spans that link to a stranger's span; return how many are recorded."""
        return self._recorded(count, NO_PARENT, [Link(outside(sampled=sampled))])

    def roots(self, count: int) -> int:
        """Ask for spans of our own; return how many are recorded."""
        return self._recorded(count, NO_PARENT)

    def _recorded(self, count: int, context: object, links: list[Link] | None = None) -> int:
        return sum(self._ask(context, links).decision is Decision.RECORD_AND_SAMPLE for _ in range(count))

    def _ask(self, context: object, links: list[Link] | None) -> SamplingResult:
        return self.sampler.should_sample(context, 7, "name", SpanKind.SERVER, None, links)  # type: ignore[arg-type]


async def test_strangers_are_bounded() -> None:
    """At most so many spans a second are recorded since strangers ask for it, and none are saved up for later."""
    asked = Asked(NEVER_BY_ITSELF)
    first = asked.children(1000)
    await asked.clock.advance(1)
    second = asked.linked(1000)
    await asked.clock.advance(100)

    assert [STRANGERS_A_SECOND] * 3 == [first, second, asked.children(1000)]


def test_a_stranger_may_refuse() -> None:
    """A stranger's context that is not sampled is followed, as a parent and as a link."""
    asked = Asked(DEFAULT_ON)

    assert [0, 0] == [asked.children(10, sampled=False), asked.linked(10, sampled=False)]


def test_spans_without_a_stranger_are_as_configured() -> None:
    """The bound is about strangers alone."""
    assert [1000, 0] == [Asked(DEFAULT_ON).roots(1000), Asked(NEVER_BY_ITSELF).roots(1000)]


def test_the_configured_sampler_decides_first() -> None:
    """A sampler that is not parent based refuses whatever a stranger asks for."""
    assert [0, 0] == [Asked(ALWAYS_OFF).children(10), Asked(TraceIdRatioBased(0)).children(10)]


def test_children_inside_a_program_follow_their_parent() -> None:
    """A span whose parent is in the same program is recorded with it, and does not count."""
    tracer, kept = recording(BoundedSampler(ParentBased(ALWAYS_ON), FakeClock().monotonic))
    with tracer.start_as_current_span("root", context_of(outside(sampled=True))):
        for _ in range(2 * STRANGERS_A_SECOND):
            tracer.start_span("child").end()

    assert 2 * STRANGERS_A_SECOND + 1 == len(kept.get_finished_spans())
