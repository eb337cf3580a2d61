"""No metric grows with strangers' input: every label of both programs is bounded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
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
from schemas.dispatch import Reason
from service.metrics import make_metrics

FED_FROM_OUR_OWN_LISTS = {"pause_notifications_lag_records"}
"""The labels of these are our topics and the numbers of owned partitions."""


def labelled() -> Iterator[MetricWrapperBase]:
    """Yield every metric with labels of both programs."""
    replica = CollectorRegistry()
    replica_metrics(replica)
    for registry in (replica, make_metrics().registry):
        for collector in list(registry._collector_to_names):
            if isinstance(collector, MetricWrapperBase) and collector._labelnames:
                yield collector


LABELLED = {metric._name: metric for metric in labelled()}


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
    """The list of exceptions names no metric that is gone."""
    assert set() == FED_FROM_OUR_OWN_LISTS - LABELLED.keys()


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
