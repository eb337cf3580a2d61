"""What a rule is made of, and the expressions that rules share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from runtime.kafka.topics import CONFIGS, DEFAULT_PARTITIONS
from schemas.events import CERTIFICATIONS_TOPIC, PAUSES_TOPIC

DAY_SECONDS = 86_400
EVENT_TOPICS = (PAUSES_TOPIC, CERTIFICATIONS_TOPIC)
REPLICA_JOB = "pause-notifications-replica"
FACADE_JOB = "pause-notifications-facade"


class Severity(StrEnum):
    """Who is told, and when."""

    CRITICAL = "critical"
    """Wake somebody."""
    WARNING = "warning"
    """Tell somebody in working hours."""


@dataclass(frozen=True)
class Site:
    """What differs between installations."""

    runbooks: str = "deploy/runbooks/"
    """The runbooks' address: what precedes the name of a page."""
    partitions: int = DEFAULT_PARTITIONS
    """Partitions of each event topic."""
    retention_days: int = min(int(CONFIGS[topic]["retention.ms"]) for topic in EVENT_TOPICS) // (DAY_SECONDS * 1000)
    """How long events are kept."""


@dataclass(frozen=True)
class Alert:
    """One alerting rule. Rules of one name share a runbook, and differ in severity or labels."""

    name: str
    expr: str
    severity: Severity
    summary: str
    description: str
    lasts: str = "0m"
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One recording rule."""

    name: str
    expr: str


@dataclass(frozen=True)
class Group:
    """Rules that are evaluated together, in order."""

    name: str
    rules: tuple[Alert | Record, ...]


def growth(counter: str, window: str) -> str:
    """
    Return by how much each series of a counter grew in a window.

    `increase` alone misses what a series begins with: a process that was killed before its second scrape would hide all
    that it counted. So a series that is younger than the window counts in full.
    """
    young = f"max_over_time({counter}[{window}]) unless max_over_time({counter}[{window}] offset {window})"
    return f"(({young}) or increase({counter}[{window}]))"


def total_growth(counter: str, window: str, *by: str) -> str:
    """Return by how much a counter grew in a window, summed over all programs of an environment."""
    return f"sum by ({', '.join(('namespace', *by))}) ({growth(counter, window)})"


def worst(gauge: str, window: str, *by: str, ago: str = "") -> str:
    """
    Return the highest value of a gauge in a window, over all programs of an environment.

    The window bridges the gaps of a process that is killed again and again, which would reset a rule's `for`.
    """
    offset = f" offset {ago}" if ago else ""
    return f"max by ({', '.join(('namespace', *by))}) (max_over_time({gauge}[{window}]{offset}))"
