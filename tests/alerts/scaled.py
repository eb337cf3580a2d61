"""
The rules as they ship, with all times divided by one factor, so that a suite need not wait for hours.

What is divided: `for`, every window, step and offset of an expression, and the thresholds and counts of THRESHOLDS,
which are times or follow from a window. Nothing else differs. The interval of scrapes and evaluations is divided, too:
30 s become 1 s, so that a window holds as many samples as in production.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from deploy.monitoring.export import PREFIX, rules
from deploy.monitoring.model import Site
from deploy.monitoring.sending_alerts import LATE_SECONDS

FACTOR = 30
SCRAPE_SECONDS = 30 / FACTOR
LOOKBACK_SECONDS = 300 / FACTOR
"""Prometheus's own: how old a sample may be that still counts."""

THRESHOLDS: Mapping[str, tuple[str, int]] = {
    "FallingBehind": ("> {}", LATE_SECONDS),  # seconds of lag
    "ReplicaWithoutProgress": ("> {}", 300),  # seconds of lag
    "FeedbackLate": ("> {}", 300),  # seconds on the queue
    "LedgerLoadSlow": ("> {}", 60),  # seconds to read one
    "FeedbackQueueFailing": (">= {}", 10),  # calls in a window: how often a replica calls does not shrink with it
    "Rebalancing": ("/ {}", 1800),  # the seconds of the window of 30 minutes
    "EventsLate": ("* {}", 300),  # the seconds of a step of 5 minutes
    "CallersUnanswered": ("* {}", 300),
}
"""By alert: how a number stands in its expression, and the number. Numbers of other alerts are no times."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_TIME = r"(\d+)([smhd])"
_RANGE = re.compile(rf"\[{_TIME}(?::{_TIME})?\]")
_OFFSET = re.compile(rf"\boffset {_TIME}")


def scaled_rules(site: Site) -> dict[str, Any]:
    """Return the rules of an installation, with their times divided."""
    groups = rules(site)["groups"]
    return {"groups": [{**group, "rules": [_rule(rule) for rule in group["rules"]]} for group in groups]}


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    changed = {**rule, "expr": scaled_expr(rule["expr"])}
    if "alert" not in rule:
        return changed
    number, unit = re.fullmatch(_TIME, rule["for"]).groups()  # type: ignore[union-attr]  # a rule that ships has one
    changed["for"] = _divided(number, unit)
    form, threshold = THRESHOLDS.get(rule["alert"].removeprefix(PREFIX), ("", 0))
    if form:
        was, now = form.format(threshold), form.format(f"{threshold / FACTOR:g}")
        changed["expr"] = re.sub(rf"{re.escape(was)}\b(?!\.)", now, changed["expr"])
    return changed


def scaled_expr(expr: str) -> str:
    """Return an expression with all its windows, steps and offsets divided."""

    def window(found: re.Match[str]) -> str:
        number, unit, step, step_unit = found.groups()
        return f"[{_divided(number, unit)}{f':{_divided(step, step_unit)}' if step else ''}]"

    return _OFFSET.sub(lambda found: f"offset {_divided(*found.groups())}", _RANGE.sub(window, expr))


def _divided(number: str, unit: str) -> str:
    return f"{int(number) * _SECONDS[unit] * 1000 // FACTOR}ms"
