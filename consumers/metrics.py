"""The metrics of a replica: each is defined and described once, at the field that holds it."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from consumers.assignment.assignment import Failed
from consumers.feedback.messages import Done, Left
from consumers.limits import By
from runtime.kafka.topics import Topics
from runtime.metrics import build_info, build_metrics, counter, gauge, histogram, metric
from schemas.cloudevents import NotAnEventReason
from schemas.contacts import Contact
from schemas.controls import ControlKind
from schemas.dead_letters import DeadLetterReason
from schemas.dispatch import Reason, Status
from schemas.events import EVENT_TOPICS
from schemas.feedback import FeedbackKind, FeedbackState
from schemas.signatures import Proof
from schemas.suppressions import SuppressionReason

_DELIVERY_BUCKETS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 50_400.0, 108_000.0)
_SES_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_DISPATCH_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)

_OUTCOMES = (
    (Status.SENT, ""),
    (Status.UNKNOWN, Reason.ANSWER_LOST),
    (Status.EXPIRED, Reason.TOO_LATE),
    (Status.SUPPRESSED, Reason.SENT_EARLIER),
    (Status.SUPPRESSED, Reason.CANCELLED),
    (Status.SUPPRESSED, Reason.NOT_ALLOWED_HERE),
    *((Status.SUPPRESSED, reason) for reason in SuppressionReason),
    (Status.FAILED, Reason.UNKNOWN_CONTACT),
    (Status.FAILED, Reason.INVALID_CONTACT),
    (Status.FAILED, Reason.NO_ADDRESS),
    (Status.FAILED, Reason.NOT_RENDERABLE),
    (Status.FAILED, Reason.MESSAGE_REJECTED),
    (Status.FAILED, Reason.BAD_REQUEST),
    (Status.FAILED, Reason.RECIPIENT_NOT_VERIFIED),
    (Status.FAILED, Reason.RECIPIENT_NOT_ALLOWED),
    (Status.FAILED, Reason.ATTEMPTS_EXHAUSTED),
)
_UNPROVEN = tuple(proof for proof in Proof if not proof.proven)
_FEEDBACK = (
    *((state, "") for state in FeedbackState if state is not FeedbackState.BOUNCED),
    *((FeedbackState.BOUNCED, kind) for kind in ("Permanent", "Transient", "Undetermined")),
)


@dataclass(frozen=True)
class Metrics:
    """The replica's metrics. Each is named after its field, behind `pause_notifications_`, unless it has a *name*."""

    build_info: Gauge = field(metadata={"build": build_info})
    outcomes: Counter = counter("Recipients that became final.", "status", "reason", known=_OUTCOMES)
    retries: Counter = counter("Sends that will be tried again.", "reason", known=("none", *Reason))
    ses_seconds: Histogram = histogram("How long SES took to answer.", buckets=_SES_BUCKETS)
    throttles: Counter = counter("Sends that SES throttled.")
    beyond_recipient_limit: Counter = counter(
        "E-mails sent beyond the hourly limit of their recipient.", "source", name="emails_beyond_recipient_limit"
    )
    unknown_errors: Counter = counter(
        "SES errors that are not in the table of known errors.", "code", name="ses_unknown_errors"
    )
    dead_letters: Counter = counter(
        "Records that became dead letters.", "reason", known=(*DeadLetterReason, *NotAnEventReason)
    )
    moved: Counter = counter("Records moved to their right partition or key.", "source", name="moved_records")
    unproven: Counter = counter(
        "Records whose pn_ headers or source are not proven.", "kind", name="unproven_records", known=_UNPROVEN
    )
    unreadable: Counter = counter(
        "Batches that were skipped because they cannot be read.", "topic", name="unreadable_batches", known=Topics().all
    )
    unknown_fields: Counter = counter("Events with data fields that the contract does not know.")
    unreadable_times: Counter = counter("Events whose time cannot be read and was not used.", "source")
    commits: Counter = counter("Commits of offsets.", "outcome", known=("committed", "failed", "refused"))
    # Not bounded: its values are our own topics and partition numbers, and there may be more than a hundred.
    lag_records: Gauge = metric(Gauge, "Records of the owned partitions that are not finished.", "topic", "partition")
    # Without an owner a partition has no series: nobody knows how far behind it is.
    lag_seconds: Gauge = metric(Gauge, "Age of the oldest record that is not committed.", "partition")
    in_flight: Gauge = gauge("Calls to SES under way.", name="sends_in_flight")
    held: Gauge = gauge("Records admitted and not finished.", name="records_held")
    quota_left: Gauge = gauge("E-mails that the account may still send in these 24 hours; infinite: no limit.")
    quota_hours_left: Gauge = gauge(
        "Hours until the quota is used up at the pace of the last hour; infinite: it will not be."
    )
    gate_rate: Gauge = gauge("E-mails a second that the gate lets through; 0 while halted.")
    gate_waiting: Gauge = gauge("Dispatches waiting at the gate.")
    halted: Gauge = gauge("1 for the reason that halts sending.", "reason", name="gate_halted")
    partitions: Gauge = gauge("Partition numbers owned.", name="partitions_owned")
    oldest_unfinished: Gauge = metric(
        Gauge,
        "Append time of the oldest unfinished record, if there is one.",
        "partition",
        name="oldest_unfinished_timestamp_seconds",
    )
    ledger_entries: Gauge = gauge("Dispatch ids remembered.")
    ledger_dropped: Gauge = gauge("Final ids forgotten since the ledgers' cap was reached.")
    remembered_seconds: Gauge = gauge("How long the last ledger took to be read.", name="ledger_loaded_seconds")
    contacts: Gauge = gauge("Contacts known that can be written to.")
    contact_faults: Counter = counter(
        "Fields of contacts that break the contract.", "field", known=("value", *Contact.model_fields)
    )
    suppressions: Gauge = gauge("Entries of addresses that get no e-mail, or may soon get none.")
    suppression_faults: Counter = counter("Records of suppressions that do not count.", "fault", known=_UNPROVEN)
    controls_in_force: Gauge = gauge("Controls that an operator put in force.", "control", known=ControlKind)
    control_faults: Counter = counter("Records of controls that do not count.", "fault", known=_UNPROVEN)
    lanes_failed: Counter = counter(
        "Unexpected errors in the work of a partition: each is a bug.", "work", known=Failed
    )
    lanes_left: Gauge = gauge("Mentors whose events stay in the log, since the source of one of them is held.")
    contacts_invalid: Gauge = gauge("Contacts that break the contract: no e-mail is sent to them.")
    topic_changes: Counter = counter(
        "Topics that were deleted or recreated while they were followed.", "topic", known=Topics().all
    )
    unseen_records: Counter = counter("Records deleted before they were read.", "topic", known=Topics().group)
    feedback_messages: Counter = counter(
        "Messages of the queue of SES's events: reports written, by kind; others, by why they were not.",
        "kind",
        known=(*FeedbackKind, *Left, *Done),
    )
    feedback_queue_errors: Counter = counter("Calls to the queue of SES's events that failed.")
    feedback: Counter = counter(
        "Reports about recipients, by the state that they show; of bounces, by SES's type.",
        "state",
        "type",
        known=_FEEDBACK,
    )
    feedback_lag_seconds: Gauge = gauge("How long the last message had waited on the queue of SES's events.")
    unconfirmed: Counter = counter(
        "E-mails sent here of which SES reported nothing within the hours that the settings allow.",
        name="recipients_unconfirmed",
    )
    feedback_ignored: Counter = counter(
        "Records of feedback that change nothing, by why.",
        "reason",
        known=("unproven", "unknown_dispatch", "another_email"),
    )
    delivery_seconds: Histogram = histogram("Time from SES's acceptance to the delivery.", buckets=_DELIVERY_BUCKETS)
    lost_answers_settled: Counter = counter(
        "Lost answers that were settled, by how.", "by", known=("feedback", "resending")
    )
    suppressions_written: Counter = counter(
        "Suppressions that followed from feedback, or that it ended.", "reason", known=(*SuppressionReason, "cleared")
    )
    escalations: Counter = counter(
        "Mentors who could not be reached, by whether their coordinator is told.",
        "outcome",
        known=("published", "no_coordinator", "coordinator_unreachable"),
    )
    missing_rights: Gauge = gauge("Rights in Kafka that are needed and not granted.")
    kafka_connected: Gauge = gauge("1 while Kafka answers, else 0.")
    ready: Gauge = gauge("1 while the probe for readiness succeeds, else 0.")
    events_taken: Counter = counter(
        "Events begun whose dispatch is not final yet, or waiting for a minute to be begun.",
        "topic",
        known=EVENT_TOPICS,
    )
    events_of_source: Counter = counter(
        "Events begun whose dispatch is not final yet, by who published them.", "source"
    )
    dispatch_seconds: Histogram = histogram(
        "Time from an event's append until all recipients were final.", buckets=_DISPATCH_BUCKETS
    )
    rebalances: Counter = counter("Times that the group assigned partitions to this replica, or none.")
    paused_by_rebalance: Counter = counter(
        "Seconds in which partitions of this replica waited for the end of a rebalance.",
        name="paused_by_rebalance_seconds",
    )
    limit: Gauge = gauge("1 for what limits this replica, 0 for the others.", "by", known=By)
    replicas_wanted: Gauge = gauge("How many replicas this one wants there to be: take the maximum over all.")
    clock_skew: Gauge = gauge(
        "How far the brokers' clock is ahead of ours, smoothed; NaN until a record was written.",
        name="clock_skew_seconds",
    )


def replica_metrics(registry: CollectorRegistry) -> Metrics:
    """Return the metrics, registered in *registry*."""
    return build_metrics(Metrics, registry)
