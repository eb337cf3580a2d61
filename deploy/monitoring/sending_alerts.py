"""Alerts: is mail leaving, and what limits it?"""

from __future__ import annotations

from consumers.email import HaltReason
from deploy.monitoring.model import DAY_SECONDS, REPLICA_JOB, Alert, Group, Severity, Site, total_growth, worst
from deploy.support.contacts_fall import FALL_SHARE, FEWEST_BEFORE

RETENTION_DAYS_LEFT = 2
LATE_SECONDS = 900

_LAG = worst("pause_notifications_lag_seconds", "5m")
_LAG_BEFORE = worst("pause_notifications_lag_seconds", "5m", ago="10m")
_HALTED = f"{worst('pause_notifications_gate_halted', '3m')} == 1"
_PROGRAM = ("pod", "instance")


def groups(site: Site) -> tuple[Group, ...]:
    """Return the groups of these alerts."""
    return (
        Group("pause-notifications.sending", (*_halts(), _falling_behind(), _near_retention(site), *_stuck())),
        Group("pause-notifications.limits", (_quota(), _throttled(), _unknown_errors(), _flooded(), _contacts_fell())),
    )


def _halts() -> tuple[Alert, ...]:
    def halted(selector: str) -> str:
        return f"{worst(f'pause_notifications_gate_halted{{{selector}}}', '3m', 'reason')} == 1"

    return (
        Alert(
            "Halted",
            halted(f'reason!="{HaltReason.DAILY_QUOTA}"'),
            Severity.CRITICAL,
            "Sending is halted: {{ $labels.reason }}.",
            "At least one replica has sent nothing for 10 minutes, because of {{ $labels.reason }}. "
            "Events wait in Kafka, and none is lost.",
            "10m",
        ),
        Alert(
            "Halted",
            halted(f'reason="{HaltReason.DAILY_QUOTA}"'),
            Severity.WARNING,
            "The account's quota of 24 hours is used up.",
            "Sending waits until the 24 hours move on ({{ $labels.reason }}). Events wait in Kafka, and none is lost.",
            "30m",
        ),
    )


def _falling_behind() -> Alert:
    return Alert(
        "FallingBehind",
        # A backlog that shrinks needs nobody, and a halt has its own alert.
        f"({_LAG} > {LATE_SECONDS}) unless ({_LAG} < {_LAG_BEFORE}) unless on (namespace) ({_HALTED})",
        Severity.CRITICAL,
        "The oldest event has waited for {{ $value | humanizeDuration }}.",
        "It waits for {{ $value | humanizeDuration }}, nothing is halted, and the backlog does not shrink. "
        "`pause_notifications_limit` shows what limits the replicas.",
        "5m",
    )


def _near_retention(site: Site) -> Alert:
    oldest = "min by (namespace) (min_over_time((pause_notifications_oldest_unfinished_timestamp_seconds > 0)[5m:30s]))"
    left = f"{site.retention_days * DAY_SECONDS} - (time() - {oldest})"
    return Alert(
        "EventsNearRetention",
        f"{left} < {RETENTION_DAYS_LEFT * DAY_SECONDS}",
        Severity.CRITICAL,
        "Kafka deletes unfinished events in {{ $value | humanizeDuration }}.",
        f"Events are kept for {site.retention_days} days: {{{{ $value | humanizeDuration }}}} are left. "
        "What is deleted before a replica finished it is never sent.",
        "5m",
    )


def _stuck() -> tuple[Alert, ...]:
    lag = worst("pause_notifications_lag_seconds", "5m", *_PROGRAM)
    ended = total_growth("pause_notifications_dispatch_seconds_count", "10m", *_PROGRAM)
    return (
        Alert(
            "ReplicaWithoutProgress",
            f"({lag} > 300) unless ({ended} > 0) unless on (namespace) ({_HALTED})",
            Severity.CRITICAL,
            "Replica {{ $labels.instance }} finishes nothing.",
            "Its oldest event has waited for {{ $value | humanizeDuration }}, nothing is halted, "
            "and it ended no event in 10 minutes.",
            "5m",
        ),
        Alert(
            "ReplicaWithoutProgress",
            f"{total_growth('pause_notifications_lanes_failed_total', '1h', 'work', *_PROGRAM)} > 0",
            Severity.WARNING,
            "Replica {{ $labels.instance }} fails by a bug: {{ $labels.work }}.",
            "About {{ $value | humanize }} unexpected errors in the last hour. "
            "What failed waits and is tried again, and nothing of it is lost.",
        ),
    )


def _quota() -> Alert:
    return Alert(
        "QuotaNearlySpent",
        # It is 0 until Kafka is found; when none is left, sending halts.
        "min by (namespace) (min_over_time((pause_notifications_quota_hours_left > 0)[10m:30s])) < 12",
        Severity.WARNING,
        "The account's quota is used up in {{ $value | humanize }} h.",
        "At the present pace {{ $value | humanize }} h are left until SES refuses e-mails of this account.",
        "30m",
    )


def _throttled() -> Alert:
    throttled = total_growth("pause_notifications_throttles_total", "1h")
    sends = total_growth("pause_notifications_ses_seconds_count", "1h")
    return Alert(
        "Throttled",
        f"({throttled} / {sends} > 0.01) and ({throttled} >= 10)",
        Severity.WARNING,
        "SES throttles {{ $value | humanizePercentage }} of the sends.",
        "In the last hour SES refused {{ $value | humanizePercentage }} of the calls as too fast: "
        "somebody else uses the account's rate.",
        "15m",
    )


def _unknown_errors() -> Alert:
    return Alert(
        "UnknownSesErrors",
        f"{total_growth('pause_notifications_ses_unknown_errors_total', '1h', 'code')} > 0",
        Severity.WARNING,
        "SES answers with an error that nobody knows: {{ $labels.code }}.",
        "About {{ $value | humanize }} calls in the last hour ended in {{ $labels.code }}, which our table does not "
        "have. By its status they are tried again, or halt sending.",
    )


def _flooded() -> Alert:
    return Alert(
        "RecipientFlooded",
        f"{total_growth('pause_notifications_emails_beyond_recipient_limit_total', '10m', 'source')} > 100",
        Severity.CRITICAL,
        "One person gets too many e-mails, from {{ $labels.source }}.",
        "{{ $value | humanize }} e-mails went beyond the hourly limit of their recipient in 10 minutes. "
        "Nothing is held back.",
    )


def _contacts_fell() -> Alert:
    now, before = worst("pause_notifications_contacts", "5m"), worst("pause_notifications_contacts", "1d")
    # Before Kafka is found, and while they are read, nobody knows how many there are.
    ready = worst(f'pause_notifications_ready{{job="{REPLICA_JOB}"}}', "5m")
    return Alert(
        "ContactsFell",
        f"(1 - {now} / {before} > {FALL_SHARE}) and ({before} >= {FEWEST_BEFORE}) and on (namespace) ({ready} == 1)",
        Severity.CRITICAL,
        "{{ $value | humanizePercentage }} of the contacts are gone.",
        "Replicas know {{ $value | humanizePercentage }} fewer contacts than at their most in the last day. "
        "Events about a mentor without contact end as unknown_mentor.",
        "5m",
    )
