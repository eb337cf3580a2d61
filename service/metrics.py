"""The metrics of a facade: each is defined and described once, beside the field that holds it."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from runtime.metrics import build_metrics, counter, gauge, histogram, http_refusals, program_registry

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 31)


@dataclass(frozen=True)
class Metrics:
    """The facade's metrics. Each is named after its field, behind `pause_notifications_`, unless it has a *name*."""

    registry: CollectorRegistry = field(metadata={"build": lambda _name, registry: registry})
    http_refusals: Counter = field(metadata={"build": lambda _name, registry: http_refusals(registry)})
    answers: Counter = counter("Answers to HTTP requests.", "endpoint", "status")
    answer_seconds: Histogram = histogram(
        "From a request's head to the head of its answer.", "endpoint", buckets=_SECONDS
    )
    publishes: Counter = counter("Events sent to Kafka, by what is known of the result.", "result")
    publish_seconds: Histogram = histogram("Until an event was durable.", buckets=_SECONDS)
    waiting: Gauge = gauge("Callers who wait for an outcome.", name="waiting_callers")
    callers_gone: Counter = counter("Callers who hung up while they waited.")
    key_failures: Counter = counter(
        "Calls without a known API key: missing, malformed or unknown.", "reason", name="api_key_failures"
    )
    keys_reloads: Counter = counter(
        "Changes of the file of API keys: loaded or refused.", "result", name="api_keys_reloads"
    )
    keys_outdated: Gauge = gauge(
        "1 while the file of API keys cannot be used, and those read before stay in use; else 0.",
        name="api_keys_outdated",
    )
    unknown_fields: Counter = counter("Fields of bodies that the contract does not know.")
    following: Gauge = gauge("1 while the dispatch records are followed, else 0.", name="following_dispatches")
    dispatch_records: Counter = counter("Records read from the dispatches topic: read or no_dispatch.", "result")
    unreadable: Counter = counter(
        "Batches of the dispatches topic that were skipped because they cannot be read.", name="unreadable_batches"
    )
    topic_changes: Counter = counter("Topics that were deleted or recreated while they were followed.", "topic")
    missing_rights: Gauge = gauge("Rights in Kafka that are needed and not granted.")


def make_metrics() -> Metrics:
    """Return the metrics, each at zero, in a registry of their own."""
    return build_metrics(Metrics, program_registry())
