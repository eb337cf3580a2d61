"""No metric grows with strangers' input: every label of both programs is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from consumers.metrics import replica_metrics
from runtime.metrics import (
    MAX_LABEL_LENGTH,
    MAX_LABEL_VALUES,
    OTHER,
    BoundedCounter,
    BoundedGauge,
    BoundedHistogram,
)
from schemas.dispatch import Reason, Status
from service.metrics import make_metrics

FED_FROM_OUR_OWN_LISTS = {
    "pause_notifications_build_info",
    "pause_notifications_lag_records",
    "pause_notifications_lag_seconds",
    "pause_notifications_oldest_unfinished_timestamp_seconds",
}
"""The labels of these are our version, our topics and the numbers of owned partitions."""

FED_BY_STRANGERS = {
    "pause_notifications_moved_records",
    "pause_notifications_unreadable_times",
    "pause_notifications_emails_beyond_recipient_limit",
    "pause_notifications_events_of_source",
    "pause_notifications_ses_unknown_errors",
}
"""Counters whose values nobody knows beforehand: sources of events, and new errors of SES."""


def a_replica() -> CollectorRegistry:
    """Return the registry of a replica."""
    registry = CollectorRegistry()
    replica_metrics(registry)
    return registry


def labelled() -> Iterator[MetricWrapperBase]:
    """Yield every metric with labels of both programs."""
    for registry in (a_replica(), make_metrics().registry):
        for collector in list(registry._collector_to_names):
            if isinstance(collector, MetricWrapperBase) and collector._labelnames:
                yield collector


LABELLED = {metric._name: metric for metric in labelled()}
COUNTERS = {name for name, metric in LABELLED.items() if isinstance(metric, Counter)}


@pytest.mark.parametrize("name", sorted(LABELLED.keys() - FED_FROM_OUR_OWN_LISTS))
def test_no_label_is_fed_without_bound(name: str) -> None:
    """A thousand values of any label make a hundred series at most, and one for the rest."""
    metric = LABELLED[name]

    for label in metric._labelnames:
        for number in range(1000):
            metric.labels(**dict.fromkeys(metric._labelnames, "same") | {label: f"stranger-{number}"})

    for position, _ in enumerate(metric._labelnames):
        assert MAX_LABEL_VALUES + 1 >= len({values[position] for values in metric._metrics})


def test_what_is_not_bounded_is_there() -> None:
    """The lists of exceptions name no metric that is gone."""
    assert set() == (FED_FROM_OUR_OWN_LISTS | FED_BY_STRANGERS) - LABELLED.keys()


@pytest.mark.parametrize("name", sorted(COUNTERS - FED_BY_STRANGERS))
def test_every_known_value_begins_at_zero(name: str) -> None:
    """A counter with labels has series from the start: `increase()` does not see the first increment of a new one."""
    begun = {metric._name: metric for metric in labelled()}[name]

    assert {0.0} == {
        sample.value for one in begun.collect() for sample in one.samples if sample.name == f"{name}_total"
    }


@pytest.mark.parametrize("status", [status for status in Status if status.final])
def test_every_final_status_begins_at_zero(status: Status) -> None:
    """There is an outcome of each final status before the first one is counted."""
    registry = CollectorRegistry()
    outcomes = replica_metrics(registry).outcomes

    assert status in {sample.labels["status"] for one in outcomes.collect() for sample in one.samples}


def test_both_programs_tell_their_version() -> None:
    """The metric build_info is 1, and its label is the version of the package."""
    for registry in (make_metrics().registry, a_replica()):
        labels = {"version": version("pause-notifications")}

        assert 1 == registry.get_sample_value("pause_notifications_build_info", labels)


def test_25000_sources_make_a_short_scrape() -> None:
    """25,000 sources of misplaced records make a scrape of some kilobytes, and no count is lost."""
    registry = CollectorRegistry()
    moved = replica_metrics(registry).moved

    for number in range(25_000):
        moved.labels(source=f"/stranger/{number}").inc()

    samples = [sample for metric in moved.collect() for sample in metric.samples if sample.name.endswith("_total")]
    assert 25_000 == sum(sample.value for sample in samples)
    assert 64 * 1024 > len(generate_latest(registry))


def test_strangers_displace_no_reason_of_ours() -> None:
    """After a hundred invented reasons `attempts_exhausted` still has its own series."""
    registry = CollectorRegistry()
    outcomes = replica_metrics(registry).outcomes

    for number in range(2 * MAX_LABEL_VALUES):
        outcomes.labels(status="failed", reason=f"invented-{number}").inc()
    outcomes.labels(status="failed", reason=Reason.ATTEMPTS_EXHAUSTED).inc()

    labels = {"status": "failed", "reason": "attempts_exhausted"}
    assert 1 == registry.get_sample_value("pause_notifications_outcomes_total", labels)


@pytest.mark.parametrize("kind", [BoundedCounter, BoundedGauge, BoundedHistogram])
def test_values_keep_their_series(kind: type[BoundedCounter | BoundedGauge | BoundedHistogram]) -> None:
    """A known value keeps its series, by name and by position; later and longer values are bounded."""
    metric = kind("tried", "Tried.", ("source",), registry=CollectorRegistry())
    first = metric.labels(source="/first")
    for number in range(MAX_LABEL_VALUES):
        metric.labels(f"/{number}")

    assert first is metric.labels("/first")
    assert metric.labels(OTHER) is metric.labels("/late")


def test_a_long_value_is_cut() -> None:
    """A value of any length takes at most MAX_LABEL_LENGTH characters of a scrape."""
    metric = BoundedCounter("tried", "Tried.", ("source",), registry=CollectorRegistry())

    assert metric.labels("x" * MAX_LABEL_LENGTH) is metric.labels("x" * 100_000)
