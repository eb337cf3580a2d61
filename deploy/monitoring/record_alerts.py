"""Alerts: which records could not be used, and which need a person?"""

from __future__ import annotations

from deploy.monitoring.model import Alert, Group, Severity, Site, total_growth
from schemas.dispatch import DISPATCHES_TOPIC, Status
from schemas.signatures import Proof


def groups(_site: Site) -> tuple[Group, ...]:
    """Return the group of these alerts."""
    return (
        Group(
            "pause-notifications.records",
            (_dead_letters(), _unknown_outcomes(), _forged_headers(), *_skipped(), _topic_changed()),
        ),
    )


def _dead_letters() -> Alert:
    return Alert(
        "DeadLetters",
        f"{total_growth('pause_notifications_dead_letters_total', '1h', 'reason')} > 0",
        Severity.WARNING,
        "Dead letters are written: {{ $labels.reason }}.",
        "About {{ $value | humanize }} records became dead letters in the last hour. A person must look at each.",
    )


def _unknown_outcomes() -> Alert:
    counter = f'pause_notifications_outcomes_total{{status="{Status.UNKNOWN}"}}'
    return Alert(
        "UnknownOutcomes",
        f"{total_growth(counter, '1h', 'reason')} > 0",
        Severity.WARNING,
        "It is unknown whether e-mails were sent.",
        "About {{ $value | humanize }} recipients ended as unknown in the last hour: SES may have their e-mail.",
    )


def _forged_headers() -> Alert:
    counter = f'pause_notifications_unproven_records_total{{kind!="{Proof.NO_KEYS}"}}'
    return Alert(
        "ForgedHeaders",
        f"{total_growth(counter, '1h', 'kind')} > 0",
        Severity.WARNING,
        "Records claim to be ours and are not: {{ $labels.kind }} signature.",
        "About {{ $value | humanize }} records in the last hour had headers or a source that no key of ours proves.",
    )


def _skipped() -> tuple[Alert, ...]:
    return (
        Alert(
            "RecordsSkipped",
            f"{total_growth('pause_notifications_unreadable_batches_total', '1h', 'job', 'topic')} > 0",
            Severity.CRITICAL,
            # a facade reads one topic alone, and does not name it
            f'Batches of {{{{ or $labels.topic "{DISPATCHES_TOPIC}" }}}} cannot be read and were skipped.',
            "About {{ $value | humanize }} batches were skipped in the last hour. "
            "Of events, a dead letter has the offsets.",
            labels={"kind": "unreadable"},
        ),
        Alert(
            "RecordsSkipped",
            f"{total_growth('pause_notifications_unseen_records_total', '1h', 'topic')} > 0",
            Severity.CRITICAL,
            "Records of {{ $labels.topic }} were deleted before a replica read them.",
            "About {{ $value | humanize }} records are gone. A dead letter (records_deleted) has their offsets.",
            labels={"kind": "deleted"},
        ),
    )


def _topic_changed() -> Alert:
    return Alert(
        "TopicChanged",
        f"{total_growth('pause_notifications_topic_changes_total', '1h', 'topic')} > 0",
        Severity.CRITICAL,
        "The topic {{ $labels.topic }} was deleted or created again.",
        "Programs saw about {{ $value | humanize }} changes in the last hour: the topic is another one, "
        "or ends before what was read.",
    )
