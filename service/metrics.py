"""The metrics of a facade."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from runtime.metrics import BoundedCounter, BoundedHistogram, http_refusals, program_registry

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 31)


@dataclass(frozen=True)
class Metrics:
    """All metrics of one facade, on a registry of its own."""

    registry: CollectorRegistry
    answers: Counter
    answer_seconds: Histogram
    publishes: Counter
    publish_seconds: Histogram
    waiting: Gauge
    callers_gone: Counter
    key_failures: Counter
    keys_reloads: Counter
    keys_outdated: Gauge
    unknown_fields: Counter
    following: Gauge
    dispatch_records: Counter
    unreadable: Counter
    http_refusals: Counter
    topic_changes: Counter
    missing_rights: Gauge


def make_metrics() -> Metrics:
    """Make the metrics, each at zero."""
    registry = program_registry()
    return Metrics(
        registry=registry,
        answers=BoundedCounter(
            "pause_notifications_answers", "Answers to HTTP requests.", ("endpoint", "status"), registry=registry
        ),
        answer_seconds=BoundedHistogram(
            "pause_notifications_answer_seconds",
            "From a request's head to the head of its answer.",
            ("endpoint",),
            buckets=_SECONDS,
            registry=registry,
        ),
        publishes=BoundedCounter(
            "pause_notifications_publishes", "Events handed to Kafka, by what is known.", ("result",), registry=registry
        ),
        publish_seconds=Histogram(
            "pause_notifications_publish_seconds", "Until an event was durable.", buckets=_SECONDS, registry=registry
        ),
        waiting=Gauge("pause_notifications_waiting_callers", "Callers who wait for an outcome.", registry=registry),
        callers_gone=Counter(
            "pause_notifications_callers_gone", "Callers who hung up while they waited.", registry=registry
        ),
        key_failures=BoundedCounter(
            "pause_notifications_api_key_failures",
            "Calls without a known API key: missing, malformed or unknown.",
            ("reason",),
            registry=registry,
        ),
        keys_reloads=BoundedCounter(
            "pause_notifications_api_keys_reloads",
            "Changes of the file of API keys: loaded or refused.",
            ("result",),
            registry=registry,
        ),
        keys_outdated=Gauge(
            "pause_notifications_api_keys_outdated",
            "1 while the file of API keys cannot be used, and those read before stay in use; else 0.",
            registry=registry,
        ),
        unknown_fields=Counter(
            "pause_notifications_unknown_fields", "Fields of bodies that the contract does not know.", registry=registry
        ),
        following=Gauge(
            "pause_notifications_following_dispatches",
            "1 while the dispatch records are followed, else 0.",
            registry=registry,
        ),
        dispatch_records=BoundedCounter(
            "pause_notifications_dispatch_records",
            "Records read from the dispatches topic: read or no_dispatch.",
            ("result",),
            registry=registry,
        ),
        unreadable=Counter(
            "pause_notifications_unreadable_batches",
            "Batches of the dispatches topic that were passed over unread.",
            registry=registry,
        ),
        http_refusals=http_refusals(registry),
        topic_changes=BoundedCounter(
            "pause_notifications_topic_changes",
            "Topics found to be others than those followed.",
            ("topic",),
            registry=registry,
        ),
        missing_rights=Gauge(
            "pause_notifications_missing_rights", "Rights in Kafka that are needed and not granted.", registry=registry
        ),
    )
