"""What a replica tells its monitoring: one frozen set of metrics, built in the bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from runtime.metrics import BoundedCounter, BoundedGauge
from schemas.cloudevents import NotAnEventReason
from schemas.dead_letters import DeadLetterReason
from schemas.dispatch import Reason

_SES_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Metrics:
    """The replica's metrics; every name begins with `pause_notifications_`."""

    outcomes: Counter
    retries: Counter
    ses_seconds: Histogram
    throttles: Counter
    beyond_recipient_limit: Counter
    unknown_errors: Counter
    dead_letters: Counter
    moved: Counter
    unproven: Counter
    unreadable: Counter
    unknown_fields: Counter
    unreadable_times: Counter
    commits: Counter
    lag_records: Gauge
    lag_seconds: Gauge
    in_flight: Gauge
    held: Gauge
    quota_left: Gauge
    quota_hours_left: Gauge
    gate_rate: Gauge
    gate_waiting: Gauge
    halted: Gauge
    partitions: Gauge
    oldest_unfinished: Gauge
    ledger_entries: Gauge
    ledger_dropped: Gauge
    remembered_seconds: Gauge
    contacts: Gauge
    contact_faults: Counter
    contacts_invalid: Gauge
    topic_changes: Counter
    unseen_records: Counter
    missing_rights: Gauge


def replica_metrics(registry: CollectorRegistry) -> Metrics:
    """Build the metrics in *registry*."""

    def counter(name: str, text: str, *labels: str) -> BoundedCounter:
        return BoundedCounter(f"pause_notifications_{name}", text, labels, registry=registry)

    def gauge(name: str, text: str, *labels: str) -> BoundedGauge:
        return BoundedGauge(f"pause_notifications_{name}", text, labels, registry=registry)

    return Metrics(
        outcomes=counter("outcomes", "Recipients that became final.", "status", "reason").keeping(reason=("", *Reason)),
        retries=counter("retries", "Sends that will be tried again.", "reason").keeping(reason=("none", *Reason)),
        ses_seconds=Histogram(
            "pause_notifications_ses_seconds", "How long SES took to answer.", buckets=_SES_BUCKETS, registry=registry
        ),
        throttles=counter("throttles", "Sends that SES throttled."),
        beyond_recipient_limit=counter(
            "emails_beyond_recipient_limit", "E-mails sent beyond the hourly limit of their recipient.", "source"
        ),
        unknown_errors=counter("ses_unknown_errors", "SES errors that our table does not know.", "code"),
        dead_letters=counter("dead_letters", "Records set aside for a person.", "reason").keeping(
            reason=(*DeadLetterReason, *NotAnEventReason)
        ),
        moved=counter("moved_records", "Records moved to their right partition or key.", "source"),
        unproven=counter("unproven_records", "Records whose pn_ headers or source are not proven.", "kind"),
        unreadable=counter("unreadable_batches", "Batches passed over since they cannot be read.", "topic"),
        unknown_fields=counter("unknown_fields", "Events with data fields that we do not know."),
        unreadable_times=counter("unreadable_times", "Events whose time cannot be read and was not used.", "source"),
        commits=counter("commits", "Commits of offsets.", "outcome"),
        # Not bounded: its values are our own topics and partition numbers, and there may be more than a hundred.
        lag_records=Gauge(
            "pause_notifications_lag_records",
            "Records of the owned partitions not yet finished.",
            ("topic", "partition"),
            registry=registry,
        ),
        lag_seconds=gauge("lag_seconds", "Age of the oldest record held and not finished."),
        in_flight=gauge("sends_in_flight", "Calls to SES under way."),
        held=gauge("records_held", "Records taken and not finished."),
        quota_left=gauge("quota_left", "E-mails that the account may yet send in these 24 hours; infinite: no limit."),
        quota_hours_left=gauge("quota_hours_left", "Hours until they are used up as of late; infinite: they will not."),
        gate_rate=gauge("gate_rate", "E-mails a second that the gate lets through; 0 while halted."),
        gate_waiting=gauge("gate_waiting", "Dispatches waiting at the gate."),
        halted=gauge("gate_halted", "1 for the reason that halts sending.", "reason"),
        partitions=gauge("partitions_owned", "Partition numbers owned."),
        oldest_unfinished=gauge("oldest_unfinished_timestamp_seconds", "Append time of the oldest unfinished record."),
        ledger_entries=gauge("ledger_entries", "Dispatch ids remembered."),
        ledger_dropped=gauge("ledger_dropped", "Final ids forgotten since the ledgers' cap was reached."),
        remembered_seconds=gauge("ledger_loaded_seconds", "How long the last ledger took to be read."),
        contact_faults=counter("contact_faults", "Contacts' fields that break the contract.", "field"),
        contacts=gauge("contacts", "Contacts known that can be written to."),
        contacts_invalid=gauge("contacts_invalid", "Contacts that break the contract: they are not written to."),
        unseen_records=counter("unseen_records", "Records deleted before anybody saw them.", "topic"),
        topic_changes=counter("topic_changes", "Topics found to be others than those followed.", "topic"),
        missing_rights=gauge("missing_rights", "Rights in Kafka that are needed and not granted."),
    )
