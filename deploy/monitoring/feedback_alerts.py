"""Alerts: what comes back from SES, and does it come?"""

from __future__ import annotations

from deploy.monitoring.model import Alert, Group, Severity, Site, total_growth, worst
from schemas.dispatch import Status
from schemas.feedback import FeedbackState

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
            (_unconfirmed(), _queue_failing(), _late(), *_bounces(), *_complaints()),
        ),
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
        # The gauge keeps its last value, so it counts only while messages come.
        f"({worst('pause_notifications_feedback_lag_seconds', '5m')} > 300) and ({taken} > 0)",
        Severity.WARNING,
        "SES's events wait for {{ $value | humanizeDuration }} on their queue.",
        "Lost answers are settled late, or sent again, and bounces suppress an address late "
        "({{ $value | humanizeDuration }}).",
        "15m",
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
