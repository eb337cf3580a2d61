"""Compute the tables of docs/capacity.md from measured figures: ``python -m tests.capacity``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from runtime.kafka.topics import CONFIGS, DEFAULT_PARTITIONS, Topics
from runtime.settings import ReplicaSettings
from schemas.events import PAUSES_TOPIC
from tests.readme import put, row

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "capacity.md"
PERFORMANCE = ROOT / "docs" / "performance.md"

EVENTS_A_DAY = {"10 thousand": 10**4, "1 million": 10**6, "100 million": 10**8}
DAY_SECONDS = 86_400
PEAK = 5
"""The busiest minute over the mean: mentors work by day."""
EMAILS_AN_EVENT = 2
SES_SECONDS = 0.1
USED = 0.6
"""The share of a core, and of the sends in flight, to plan with."""
COPIES = 3

# Measured on a running system with feedback: 2,000 calls at 210 a second, each with two e-mails. Little is batched
# there, so an event costs more than in a backlog, which docs/performance.md has.
CPU_SECONDS_AN_EVENT = 4.2e-3
CPU_SECONDS_A_CALL = 1.6e-3
EVENT_BYTES = 590
DISPATCH_BYTES = 1612
FEEDBACK_BYTES = 1757
"""Of an event: the last two are all its records together."""
REPLICA_MB = 100
CORES_OF_BROKERS_A_THOUSAND = 0.44
"""For a thousand events a second that are worked off."""


@dataclass(frozen=True)
class Measured:
    """What docs/performance.md has."""

    followed_seconds: float
    """What a record of a dispatch costs each facade while callers wait: less, if none does."""
    ledger_mb: float
    """Of a million ids."""
    ledger_seconds: float
    """To read a million ids back."""


@dataclass(frozen=True)
class Need:
    """What a load needs."""

    events_a_day: int
    measured: Measured

    @property
    def mean(self) -> float:
        """Return the events a second over the day."""
        return self.events_a_day / DAY_SECONDS

    @property
    def peak(self) -> float:
        """Return the events a second at the busiest time."""
        return self.mean * PEAK

    @property
    def emails_at_peak(self) -> float:
        """Return the e-mails a second that the account must allow."""
        return self.peak * EMAILS_AN_EVENT

    @property
    def replicas(self) -> int:
        """Return how many replicas: by CPU or by sends in flight, and at least two."""
        by_cpu = self.peak * CPU_SECONDS_AN_EVENT / USED
        by_in_flight = self.emails_at_peak * SES_SECONDS / (ReplicaSettings().max_sends_in_flight * USED)
        return max(ceil(by_cpu), ceil(by_in_flight), 2)

    @property
    def partitions(self) -> int:
        """Return how many partitions: twice the replicas, to have room, in steps of the default."""
        return ceil(2 * self.replicas / DEFAULT_PARTITIONS) * DEFAULT_PARTITIONS

    @property
    def ids(self) -> float:
        """Return how many ids are remembered, all replicas together."""
        return self.mean * ReplicaSettings().remember_hours * 3600

    @property
    def ids_of_a_replica(self) -> float:
        """Return how many of them a replica remembers."""
        return self.ids / self.replicas

    @property
    def memory_mb(self) -> float:
        """Return the memory of a replica."""
        return REPLICA_MB + self.ids_of_a_replica / 1e6 * self.measured.ledger_mb

    @property
    def reading_seconds(self) -> float:
        """Return how long a replica reads its ledger at a start."""
        return self.ids_of_a_replica / 1e6 * self.measured.ledger_seconds

    @property
    def disk_gb(self) -> float:
        """Return the disk of all brokers, with copies, at the topics' retention."""
        topics = Topics()
        sizes = {PAUSES_TOPIC: EVENT_BYTES, topics.dispatches: DISPATCH_BYTES, topics.feedback: FEEDBACK_BYTES}
        kept = sum(size * int(CONFIGS[topic]["retention.ms"]) / 1000 for topic, size in sizes.items())
        return kept * self.mean * COPIES / 1e9

    @property
    def calls_cores(self) -> float:
        """Return the cores of all facades for callers, if every event is a call."""
        return self.peak * CPU_SECONDS_A_CALL

    @property
    def following_cores(self) -> float:
        """Return the share of a core that each facade needs at the busiest time, to follow all dispatches."""
        return self.peak * DISPATCH_RECORDS * self.measured.followed_seconds

    @property
    def facades(self) -> int | None:
        """Return how many facades: what following leaves of a core is for callers; None if nothing is left."""
        left = USED - self.following_cores
        return max(ceil(self.calls_cores / left), 2) if left > 0 else None


DISPATCH_RECORDS = 2
"""Of an event: its intent and its result."""


def read_measured(page: str) -> Measured:
    """Return our own figures of docs/performance.md."""

    def figure(name: str) -> float:
        found = re.search(rf"^\| {re.escape(name)} \| ([\d.,]+) \|", page, re.MULTILINE)
        if found is None:
            raise ValueError(f"docs/performance.md has no figure {name}")
        return float(found[1].replace(",", ""))

    return Measured(
        followed_seconds=figure("followed while a caller waits, µs a record") / 1e6,
        ledger_mb=figure("memory, a million, MB"),
        ledger_seconds=figure("read back, a million, s"),
    )


def _shown(value: float) -> str:
    """Return a number with two digits that count, and what is above a hundred without a fraction."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


ROWS: tuple[tuple[str, Callable[[Need], str]], ...] = (
    ("events a second, mean", lambda need: _shown(need.mean)),
    ("e-mails a second at the peak", lambda need: _shown(need.emails_at_peak)),
    ("replicas", lambda need: f"{need.replicas}"),
    ("partitions of each topic", lambda need: f"{need.partitions}"),
    ("ids that a replica remembers, millions", lambda need: _shown(need.ids_of_a_replica / 1e6)),
    ("memory of a replica, MB", lambda need: _shown(need.memory_mb)),
    ("a replica reads its ledger at a start, s", lambda need: _shown(need.reading_seconds)),
    ("cores of the brokers at the peak", lambda need: _shown(need.peak / 1000 * CORES_OF_BROKERS_A_THOUSAND)),
    ("disk of the brokers, three copies, GB", lambda need: _shown(need.disk_gb)),
    ("a facade's core to follow dispatches", lambda need: f"{need.following_cores:.1%}"),
    ("facades, if every event is a call", lambda need: str(need.facades) if need.facades else "none is enough"),
)


def table(measured: Measured) -> str:
    """Return what each load needs."""
    needs = [Need(events, measured) for events in EVENTS_A_DAY.values()]
    lines = [row("events a day", *EVENTS_A_DAY), row("---", *["---:"] * len(needs))]
    return "\n".join([*lines, *(row(name, *(of(need) for need in needs)) for name, of in ROWS)]) + "\n"


def limits(measured: Measured) -> str:
    """Return at which load each part is used up, lowest first."""
    settings = ReplicaSettings()
    remembered = settings.max_ledger_entries * DEFAULT_PARTITIONS / (settings.remember_hours * 3600)
    found = {
        f"ids: {DEFAULT_PARTITIONS} replicas with the default cap remember {settings.remember_hours:g} h": remembered,
        f"CPU: {DEFAULT_PARTITIONS} replicas, a partition each": DEFAULT_PARTITIONS
        * USED
        / CPU_SECONDS_AN_EVENT
        / PEAK,
        "sends in flight: the same replicas": (
            DEFAULT_PARTITIONS * settings.max_sends_in_flight * USED / SES_SECONDS / EMAILS_AN_EVENT / PEAK
        ),
        "following: half of a facade's core": 0.5 / measured.followed_seconds / DISPATCH_RECORDS / PEAK,
    }
    lines = [row("what is used up", "events a second, mean", "million events a day"), row("---", "---:", "---:")]
    for name, mean in sorted(found.items(), key=lambda one: one[1]):
        lines.append(row(name, _shown(mean), _shown(mean * DAY_SECONDS / 1e6)))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the tables."""
    measured = read_measured(PERFORMANCE.read_text(encoding="utf-8"))
    put(PAGE, "need", table(measured))
    put(PAGE, "limit", limits(measured))


if __name__ == "__main__":
    main()
