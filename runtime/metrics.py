"""A program's metrics: a registry of its own, nothing global, and labels with a bounded number of values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import field, fields
from functools import cached_property
from itertools import product
from typing import Any, Self, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram, ProcessCollector

from runtime.release import release

MAX_LABEL_VALUES = 100
"""How many values of a label get a series of their own."""

MAX_LABEL_LENGTH = 100
"""Longer values of a label are cut to this length."""

T = TypeVar("T")

OTHER = "other"
"""The value under which a metric counts all further values."""

Known = Iterable[str | Collection[str]]
"""Values of a metric's one label, or a value for each of its labels."""

REFUSALS = (
    *("bad_chunk", "bad_header", "bad_host", "bad_length", "bad_request_line", "unknown_version"),
    *("head_too_large", "too_many_headers", "late_head", "late_reader", "silent", "no_place", "evicted"),
)
"""Why a port refuses a request or closes a connection."""


def program_registry() -> CollectorRegistry:
    """Return a registry that already has the process's metrics: memory, CPU, open files, garbage collection."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def http_refusals(registry: CollectorRegistry, *ports: str) -> BoundedCounter:
    """Return the counter of what a program's *ports* refuse before any handler sees it."""
    refusals = BoundedCounter(
        "pause_notifications_http_refusals",
        "Requests refused and connections closed before a handler saw them.",
        ("port", "reason"),
        registry=registry,
    )
    return refusals.beginning(product(ports, REFUSALS))


class _Values:
    """The values of one label: the first MAX_LABEL_VALUES are kept, later ones become `other`."""

    def __init__(self) -> None:
        self._kept: set[str] = set()

    def bound(self, value: object) -> str:
        """Return the value to count under: this one, or `other`."""
        text = str(value)[:MAX_LABEL_LENGTH]
        if text in self._kept:
            return text
        if len(self._kept) >= MAX_LABEL_VALUES:
            return OTHER
        self._kept.add(text)
        return text


class _Bounded:
    """
    A metric whose labels' values may come from strangers.

    Each new value makes a series that lives as long as the program, so whoever chooses the values chooses how large a
    scrape gets. Every metric of ours with labels is bounded, unless all its values come from our own lists.
    """

    _labelnames: tuple[str, ...]

    def labels(self, *values: Any, **named: Any) -> Self:
        """Return the series of these values."""
        named = named or dict(zip(self._labelnames, values, strict=True))
        bounded = {name: self._values[name].bound(value) for name, value in named.items()}
        labels: Callable[..., Self] = super().labels  # type: ignore[misc]  # of the metric beside this class
        return labels(**bounded)

    def beginning(self, known: Known) -> Self:
        """
        Begin the series of these values at zero, and return this metric.

        Without that, Prometheus sees the first increment as a new series, and `increase()` misses it. The values also
        keep a series of their own, whatever strangers send first.
        """
        for values in known:
            self.labels(*((values,) if isinstance(values, str) else values))
        return self

    @cached_property
    def _values(self) -> dict[str, _Values]:
        return {name: _Values() for name in self._labelnames}


class BoundedCounter(_Bounded, Counter):
    """A counter with at most MAX_LABEL_VALUES values of each label."""


class BoundedGauge(_Bounded, Gauge):
    """A gauge with at most MAX_LABEL_VALUES values of each label."""


class BoundedHistogram(_Bounded, Histogram):
    """A histogram with at most MAX_LABEL_VALUES values of each label."""


def metric(
    kind: Callable[..., Any],
    text: str,
    *labels: str,
    name: str | None = None,
    known: Known = (),
    **options: Any,
) -> Any:
    """
    Describe one metric, as the default of the field of a dataclass; `build_metrics` makes it.

    It is named after its field unless it has a *name*. The series of *known* values of its labels begin at zero.
    """
    begun = tuple(known)

    def build(field_name: str, registry: CollectorRegistry) -> Any:
        built = kind(f"pause_notifications_{name or field_name}", text, labels, registry=registry, **options)
        return built.beginning(begun) if begun else built

    return field(metadata={"build": build})


def counter(text: str, *labels: str, **options: Any) -> Any:
    """Describe a counter whose labels are bounded."""
    return metric(BoundedCounter, text, *labels, **options)


def gauge(text: str, *labels: str, **options: Any) -> Any:
    """Describe a gauge whose labels are bounded."""
    return metric(BoundedGauge, text, *labels, **options)


def histogram(text: str, *labels: str, **options: Any) -> Any:
    """Describe a histogram whose labels are bounded."""
    return metric(BoundedHistogram, text, *labels, **options)


def build_info(name: str, registry: CollectorRegistry) -> Gauge:
    """Return the metric that tells which version runs; it is the `build` of a field."""
    info = Gauge(f"pause_notifications_{name}", "1 for the version that runs.", ("version",), registry=registry)
    info.labels(release()).set(1)
    return info


def build_metrics(metrics: type[T], registry: CollectorRegistry) -> T:
    """Return an instance of a dataclass of metrics, each registered in *registry*."""
    described: Any = metrics
    return metrics(**{one.name: one.metadata["build"](one.name, registry) for one in fields(described)})
