"""The metrics of a facade: each is defined and described once, beside the field that holds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from runtime.metrics import build_info, build_metrics, counter, gauge, histogram, http_refusals, program_registry
from schemas.dispatch import DISPATCHES_TOPIC
from schemas.events import EVENTS
from service.problems import PROBLEM_TYPES

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 31)
_ANSWER_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 2.5, 3, 4, 8, 16, 31)

ASKED = ("outcome", "no_wait")
"""What a call asks for: the outcome, or only that its event is durable (`Prefer: wait=0`)."""
_ENDPOINTS = tuple(kind.name for kind in EVENTS)
_STATUSES = tuple(sorted({"200", "202", *(str(kind.status) for kind in PROBLEM_TYPES)}))


@dataclass(frozen=True)
class Metrics:
    """The facade's metrics. Each is named after its field, behind `pause_notifications_`, unless it has a *name*."""

    registry: CollectorRegistry = field(metadata={"build": lambda _name, registry: registry})
    build_info: Gauge = field(metadata={"build": build_info})
    http_refusals: Counter = field(
        metadata={"build": lambda _name, registry: http_refusals(registry, "http", "management")}
    )
    answers: Counter = counter(
        "Answers to HTTP requests; a call has asked for the outcome, or not to wait for it.",
        "endpoint",
        "status",
        "asked",
        known=(*product(_ENDPOINTS, _STATUSES, ASKED), *product(("dispatches", "other"), _STATUSES, ("",))),
    )
    answer_seconds: Histogram = histogram(
        "From a request's head to the head of its answer, by class of status.",
        "endpoint",
        "class",
        buckets=_ANSWER_SECONDS,
        known=product((*_ENDPOINTS, "dispatches"), ("2xx", "4xx", "5xx")),
    )
    publishes: Counter = counter(
        "Events sent to Kafka, by what is known of the result.",
        "result",
        known=("published", "not_published", "unknown"),
    )
    publish_seconds: Histogram = histogram("Until an event was durable.", buckets=_SECONDS)
    waiting: Gauge = gauge("Callers who wait for an outcome.", name="waiting_callers")
    callers_gone: Counter = counter("Callers who hung up while they waited.")
    key_failures: Counter = counter(
        "Calls without a known API key: missing, malformed or unknown.",
        "reason",
        name="api_key_failures",
        known=("missing", "malformed", "unknown"),
    )
    keys_reloads: Counter = counter(
        "Changes of the file of API keys: loaded or refused.",
        "result",
        name="api_keys_reloads",
        known=("loaded", "refused"),
    )
    keys_outdated: Gauge = gauge(
        "1 while the file of API keys cannot be used, and those read before stay in use; else 0.",
        name="api_keys_outdated",
    )
    unknown_fields: Counter = counter("Fields of bodies that the contract does not know.")
    following: Gauge = gauge("1 while the dispatch records are followed, else 0.", name="following_dispatches")
    dispatch_records: Counter = counter(
        "Records read from the dispatches topic: read or no_dispatch.", "result", known=("read", "no_dispatch")
    )
    unreadable: Counter = counter(
        "Batches of the dispatches topic that were skipped because they cannot be read.", name="unreadable_batches"
    )
    topic_changes: Counter = counter(
        "Topics that were deleted or recreated while they were followed.", "topic", known=(DISPATCHES_TOPIC,)
    )
    missing_rights: Gauge = gauge("Rights in Kafka that are needed and not granted.")
    kafka_connected: Gauge = gauge("1 while Kafka answers, else 0.")
    ready: Gauge = gauge("1 while the probe for readiness succeeds, else 0.")


def make_metrics() -> Metrics:
    """Return the metrics, each at zero, in a registry of their own."""
    return build_metrics(Metrics, program_registry())
