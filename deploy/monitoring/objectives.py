"""
The two objectives, and how fast their budgets are spent.

Each is alerted on by two windows at a time, as https://sre.google/workbook/alerting-on-slos/ describes: the long one
shows that it matters, the short one that it still goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

from deploy.monitoring.model import Alert, Group, Record, Severity, Site

PREFIX = "pause_notifications:"
IN_TIME_SECONDS = 60
FEWEST_FAILURES = 10
"""Fewer failures in the long window are no alert: at night one of five events would spend a month's budget."""

_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
_WAITED = "1m"
"""
An event that was taken has a minute to end, so what was taken is counted with this delay.

Every accepted event is taken within a minute, if only as one that waits: nothing is hidden by a halt.
"""
_ASKED = 'endpoint!~"dispatches|other"'


@dataclass(frozen=True)
class Objective:
    """A share of good things that is promised."""

    name: str
    alert: str
    budget: float
    """The share that may fail."""
    total: str
    """The rate of all."""
    failed: str
    """The rate of failures. It may be below zero for a moment, where a window ends between two scrapes."""
    summary: str
    what: str


EVENTS = Objective(
    name="events_late",
    alert="EventsLate",
    budget=0.001,
    total=f"sum by (namespace) (rate(pause_notifications_events_taken_total[5m] offset {_WAITED}))",
    failed=(
        f"sum by (namespace) (rate(pause_notifications_events_taken_total[5m] offset {_WAITED}))"
        f' - sum by (namespace) (rate(pause_notifications_dispatch_seconds_bucket{{le="{IN_TIME_SECONDS:.1f}"}}[5m]))'
    ),
    summary="Events end later than 60 s after they were accepted.",
    what="of the events did not end within 60 s of their append; 0.1 % may",
)

_CALLS = f'sum by (namespace) (rate(pause_notifications_answers_total{{{_ASKED},status=~"200|202|5.."}}[5m]))'
CALLS = Objective(
    name="calls_unanswered",
    alert="CallersUnanswered",
    budget=0.01,
    total=_CALLS,
    failed=(
        "sum by (namespace) ("
        f'rate(pause_notifications_answers_total{{{_ASKED},status=~"5.."}}[5m])'
        f' or rate(pause_notifications_answers_total{{{_ASKED},status="202",asked="outcome"}}[5m]))'
        f" or 0 * {_CALLS}"
    ),
    summary="Callers do not get the outcome within their deadline.",
    what="of the calls ended in a 5xx, or in a 202 to a caller who asked for the outcome; 1 % may",
)
OBJECTIVES = (EVENTS, CALLS)


def groups(_site: Site) -> tuple[Group, ...]:
    """Return a group for each objective: first what is recorded, then the alerts on it."""
    return tuple(Group(f"pause-notifications.{one.name}", (*_records(one), *_alerts(one))) for one in OBJECTIVES)


def _records(objective: Objective) -> tuple[Record, ...]:
    base = f"{PREFIX}{objective.name}"
    ratios = (
        Record(
            f"{base}:ratio_{window}",
            f"clamp_min(avg_over_time({base}:failed_rate5m[{window}])"
            f" / avg_over_time({base}:total_rate5m[{window}]), 0)",
        )
        for window in _WINDOWS
    )
    return (
        Record(f"{base}:total_rate5m", objective.total),
        Record(f"{base}:failed_rate5m", objective.failed),
        *ratios,
    )


def _alerts(objective: Objective) -> tuple[Alert, ...]:
    fast = f"{_burning(objective, 14.4, '1h', '5m')} or {_burning(objective, 6, '6h', '30m')}"
    slow = f"{_burning(objective, 3, '1d', '2h')} or {_burning(objective, 1, '3d', '6h')}"
    return (
        _alert(objective, fast, Severity.CRITICAL, "2m", "A month's budget lasts for five days at most"),
        _alert(objective, slow, Severity.WARNING, "1h", "A month's budget does not last for the month"),
    )


def _alert(objective: Objective, expr: str, severity: Severity, lasts: str, budget: str) -> Alert:
    description = f"{{{{ $value | humanizePercentage }}}} {objective.what}. {budget}."
    return Alert(objective.alert, expr, severity, objective.summary, description, lasts)


def _burning(objective: Objective, factor: float, long: str, short: str) -> str:
    base, limit = f"{PREFIX}{objective.name}", f"{factor * objective.budget:.4f}"
    # Steps of the rate's own window: what the sum has does not depend on how often rules are evaluated.
    fewest = f"sum_over_time({base}:failed_rate5m[{long}:5m]) * 300 >= {FEWEST_FAILURES}"
    return f"({base}:ratio_{long} > {limit} and {base}:ratio_{short} > {limit} and {fewest})"
