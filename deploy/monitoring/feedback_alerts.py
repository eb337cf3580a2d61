"""Alerts: what comes back from SES, and does it come?"""

from __future__ import annotations

from consumers.feedback.messages import Left
from deploy.monitoring.model import Alert, Group, Severity, Site, growth, total_growth, worst
from schemas.dispatch import Status
from schemas.feedback import FeedbackState
from schemas.signatures import Proof

# https://docs.aws.amazon.com/ses/latest/dg/reputationdashboardmessages.html: SES reviews an account from the first
# rate on, and pauses it from the second. It wakes somebody at four fifths of the second.
BOUNCES_REVIEWED, BOUNCES_PAUSED = 0.05, 0.10
COMPLAINTS_REVIEWED, COMPLAINTS_PAUSED = 0.001, 0.005
NEAR = 0.8
FEWEST = 5
"""Fewer bounces or complaints in a day are no rate."""


def groups(_site: Site) -> tuple[Group, ...]:
    """Return the group of these alerts."""
    return (
        Group(
            "pause-notifications.feedback",
            (_unconfirmed(), _queue_failing(), _late(), *_foreign(), *_bounces(), *_complaints()),
        ),
        Group("pause-notifications.suppressions", (_suppressions_invalid(), _nobody_told())),
    )


def _unconfirmed() -> Alert:
    unconfirmed = total_growth("pause_notifications_recipients_unconfirmed_total", "6h")
    sent = total_growth(f'pause_notifications_outcomes_total{{status="{Status.SENT}"}}', "6h")
    return Alert(
        "FeedbackUnconfirmed",
        f"({unconfirmed} >= {FEWEST}) and ({unconfirmed} > 0.01 * ({sent} or {unconfirmed}))",
        Severity.WARNING,
        "SES reports nothing about e-mails that it took.",
        "About {{ $value | humanize }} e-mails became overdue in the last 6 hours: "
        "they were sent, and SES reported nothing since.",
    )


def _queue_failing() -> Alert:
    return Alert(
        "FeedbackQueueFailing",
        f"{total_growth('pause_notifications_feedback_queue_errors_total', '15m')} >= 10",
        Severity.WARNING,
        "The queue of SES's events cannot be read.",
        "{{ $value | humanize }} calls to SQS failed in 15 minutes. Feedback waits on the queue for up to 14 days.",
        "15m",
    )


def _late() -> Alert:
    taken = total_growth("pause_notifications_feedback_messages_total", "15m")
    return Alert(
        "FeedbackLate",
        # The gauge keeps its last value while the queue does not answer, so it counts only while messages come.
        f"({worst('pause_notifications_feedback_lag_seconds', '5m')} > 300) and ({taken} > 0)",
        Severity.WARNING,
        "SES's events wait for {{ $value | humanizeDuration }} on their queue.",
        "Lost answers are settled late, or sent again, and bounces suppress an address late "
        "({{ $value | humanizeDuration }}).",
        "15m",
    )


def _foreign() -> tuple[Alert, ...]:
    on_queue = f'pause_notifications_feedback_messages_total{{kind=~"{"|".join(Left)}"}}'
    in_topic = 'pause_notifications_feedback_ignored_total{reason="unproven"}'
    return (
        Alert(
            "ForeignMessages",
            f"{total_growth(on_queue, '1h', 'kind')} > 0",
            Severity.WARNING,
            "The queue of SES's events has messages that are not ours: {{ $labels.kind }}.",
            "About {{ $value | humanize }} of them were received in the last hour ({{ $labels.kind }}). "
            "They stay on the queue until its redrive policy moves them.",
            labels={"found": "queue"},
        ),
        Alert(
            "ForeignMessages",
            f"{total_growth(in_topic, '1h')} > 0",
            Severity.WARNING,
            "Feedback that no key of ours proves is in its topic.",
            "About {{ $value | humanize }} records of feedback in the last hour were not signed by a replica, "
            "and do not count.",
            labels={"found": "topic"},
        ),
    )


def _suppressions_invalid() -> Alert:
    counter = f'pause_notifications_suppression_faults_total{{fault!="{Proof.NO_KEYS}"}}'
    return Alert(
        "SuppressionsInvalid",
        # Every replica reads and counts them all.
        f"max by (namespace, fault) ({growth(counter, '1h')}) > 0",
        Severity.WARNING,
        "Suppressions do not count: {{ $labels.fault }}.",
        "About {{ $value | humanize }} records of suppressions were ignored in the last hour ({{ $labels.fault }}). "
        "E-mail goes out to these addresses again.",
    )


def _nobody_told() -> Alert:
    counter = 'pause_notifications_escalations_total{outcome!="published"}'
    return Alert(
        "NobodyTold",
        f"{total_growth(counter, '1h', 'outcome')} > 0",
        Severity.WARNING,
        "Mentors were not reached, and no coordinator was told: {{ $labels.outcome }}.",
        "About {{ $value | humanize }} mentors in the last hour got no e-mail, and nobody knows. "
        "A dead letter (coordinator_unreachable) has each dispatch.",
    )


def _bounces() -> tuple[Alert, ...]:
    counter, taken = _reported(FeedbackState.BOUNCED, 'type="Permanent"'), _reported(FeedbackState.ACCEPTED)
    return _rate("BounceRate", "of the e-mails bounced", (counter, taken), (BOUNCES_REVIEWED, BOUNCES_PAUSED))


def _complaints() -> tuple[Alert, ...]:
    counter, taken = _reported(FeedbackState.COMPLAINED), _reported(FeedbackState.DELIVERED)
    limits = (COMPLAINTS_REVIEWED, COMPLAINTS_PAUSED)
    return _rate("ComplaintRate", "of the delivered e-mails were called spam", (counter, taken), limits)


def _reported(state: FeedbackState, *further: str) -> str:
    selected = ",".join((f'state="{state}"', *further))
    return f"pause_notifications_feedback_total{{{selected}}}"


def _rate(name: str, what: str, counters: tuple[str, str], limits: tuple[float, float]) -> tuple[Alert, ...]:
    counted, of = (total_growth(counter, "1d") for counter in counters)
    reviewed, paused = limits
    summary = f"{{{{ $value | humanizePercentage }}}} {what} for good in a day."
    if name == "ComplaintRate":
        summary = f"{{{{ $value | humanizePercentage }}}} {what} in a day."

    def alert(severity: Severity, limit: float, then: str) -> Alert:
        expr = f"({counted} / {of} > {limit:g}) and ({counted} >= {FEWEST})"
        return Alert(name, expr, severity, summary, f"{{{{ $value | humanizePercentage }}}} {what}. {then}.", "15m")

    return (
        alert(Severity.WARNING, reviewed, f"SES reviews an account from {reviewed * 100:g} % on"),
        alert(
            Severity.CRITICAL, NEAR * paused, f"SES pauses an account from {paused * 100:g} % on: then nothing leaves"
        ),
    )
