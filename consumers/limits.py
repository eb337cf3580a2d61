"""
What limits a replica, whether more replicas would help, and how many it wants. No I/O, no clock.

Each replica sees only itself, and answers for all as if the others were like it. It does not know how many there are,
but the group assigns by range: so what it owns tells the fewest members with which it would own just that. Each replica
gives a lower bound, and at least one gives the exact number. So take the maximum of `replicas_wanted` over all
replicas. While nothing is to be changed, that is the number of those that own something.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

_BEHIND_SECONDS = 5.0
"""A lag below this is the time that records take anyway."""
_WAITING = 0.5
"""Share of the time that dispatches wait at the gate, from which the gate holds mail back: a burst does not."""
_USED_UP = 0.8
"""Share of the rate, or of the sends in flight, from which it is used up: the gate rounds its waits."""
_BUSY = 0.85
"""Share of one core from which it is used up."""
_WELL_USED = 0.6
"""The share to aim at: between it and `_BUSY` nothing changes, so that the number does not swing."""
_SLOW_PUBLISH_SECONDS = 0.5
_PUBLISHES = 2
"""Records that are written, one after the other, around a send: the intent and the outcome."""
_LONGEST_SECONDS = 3_600.0
"""An average that decays comes near 0, and what is divided by it near infinity."""
_MANY_OF_ONE = 20
"""Records of one mentor from which their order may hold up others; fewer are done in seconds."""


class By(StrEnum):
    """What limits: a stable code, and the label of a metric."""

    SES_RATE = "ses_rate"
    SES_LATENCY = "ses_latency"
    PARTITIONS = "partitions"
    ONE_MENTOR = "one_mentor"
    KAFKA = "kafka"
    CPU = "cpu"
    HALT = "halt"
    NONE = "none"


@dataclass(frozen=True)
class Measures:
    """What one replica measures of itself; rates, shares and waits are averages of some seconds."""

    owned: frozenset[int]
    """The partition numbers that it owns."""
    partitions: int
    """How many there are."""
    opening: bool
    """Whether the ledger of one that it owns is not read yet."""
    kafka_connected: bool
    publish_seconds: float
    """How long Kafka takes to store a record."""
    halt: str | None
    account_rate: float
    """E-mails a second that SES accepts for the account."""
    gate_rate: float
    """E-mails a second that this replica may send."""
    gate_waiting: float
    """Share of the time in which dispatches wait at the gate."""
    emails_a_second: float
    in_flight: float
    max_in_flight: int
    records_held: int
    longest_lane: int
    """How many of the records held are of the mentor who has most."""
    lag_seconds: float
    cpu: float
    """Share of one core."""

    @property
    def rate_used(self) -> float:
        """Return the share of the rate that is used."""
        return self.emails_a_second / self.gate_rate if self.gate_rate else 0.0

    @property
    def in_flight_used(self) -> float:
        """Return the share of the sends in flight that is used."""
        # A dispatch has two e-mails as a rule, which begin together: one free place lets nothing begin.
        return self.in_flight / max(self.max_in_flight - 1, 1)

    @property
    def seconds_in_flight(self) -> float:
        """Return how long an e-mail is in flight, an hour at most, by Little's law: SES's answer, and two records."""
        return min(self.in_flight / self.emails_a_second, _LONGEST_SECONDS) if self.emails_a_second else 0.0


@dataclass(frozen=True)
class Limit:
    """What limits, one sentence about it for a person, and how many replicas this one wants there to be."""

    by: By
    sentence: str
    replicas_wanted: int


NOT_MEASURED = Limit(By.NONE, "Nothing is measured yet.", 1)


def members_at_least(owned: Collection[int], partitions: int) -> int:
    """Return the fewest members of a group of which one owns just these partitions, by range; 1 if it owns none."""
    if not owned:
        return 1
    fewest = ceil(partitions / len(owned))
    found = (count for count in range(1, partitions + 1) if _is_a_share(owned, partitions, count))
    return next(found, fewest)


def _is_a_share(owned: Collection[int], partitions: int, members: int) -> bool:
    """Return whether the range assignor gives just these partitions to one of so many members."""
    share, larger = divmod(partitions, members)
    first, size = min(owned), len(owned)
    if max(owned) - first + 1 != size:
        return False
    behind_larger = first - larger * (share + 1)
    if behind_larger < 0:
        return size == share + 1 and first % size == 0
    return size == share and behind_larger % size == 0


def limit_of(measures: Measures) -> Limit:
    """Return what limits a replica: of several reasons, the one that must end before another matters."""
    members = members_at_least(measures.owned, measures.partitions)
    stopped = _stopped(measures)
    if stopped is not None:
        return _no_more(*stopped, members)
    if not measures.owned:
        return _no_more(By.NONE, "this one owns no partition", members)
    if measures.opening:
        return _no_more(By.NONE, "this one still reads what was sent before", members)
    return _at_work(measures, members)


def _stopped(measures: Measures) -> tuple[By, str] | None:
    if not measures.kafka_connected:
        return By.KAFKA, "Kafka does not answer"
    if measures.halt is not None:
        return By.HALT, f"sending is halted: {measures.halt}"
    return None


def _at_work(measures: Measures, members: int) -> Limit:
    if _kafka_is_slow(measures):
        return _no_more(By.KAFKA, f"Kafka takes {measures.publish_seconds:.1f} s to store a record", members)
    waiting = measures.gate_waiting >= _WAITING
    if waiting and max(measures.rate_used, measures.in_flight_used) >= _USED_UP:
        return _at_the_gate(measures, members)
    if measures.cpu >= _BUSY:
        why = f"the CPU is used to {measures.cpu:.0%} of a core"
        return _more(measures, members, By.CPU, why, measures.cpu / _WELL_USED)
    return _at_the_gate(measures, members) if waiting else _not_busy(measures, members)


def _at_the_gate(measures: Measures, members: int) -> Limit:
    """Return which of the gate's two bounds holds mail back: the one that is used more."""
    if measures.rate_used >= measures.in_flight_used:
        why = f"SES accepts {measures.account_rate:g} e-mails a second for the account"
        return _no_more(By.SES_RATE, why, members)
    seconds, most = measures.seconds_in_flight, measures.max_in_flight
    why = f"all {most} sends in flight are used, and each takes {seconds:.1f} s"
    return _more(measures, members, By.SES_LATENCY, why, measures.gate_rate * seconds / most)


def _not_busy(measures: Measures, members: int) -> Limit:
    behind = measures.lag_seconds >= _BEHIND_SECONDS
    longest = measures.longest_lane
    if behind and longest >= _MANY_OF_ONE and longest * 2 > measures.records_held:
        why = f"one mentor has {longest} of the {measures.records_held} events held, and they are sent in order"
        return _no_more(By.ONE_MENTOR, why, members)
    if behind and not measures.records_held:
        return _no_more(By.NONE, "what waits in Kafka was not fetched", members)
    if behind:
        return _no_more(By.NONE, "what waits here waits for a further try, or for an unknown mentor", members)
    return _no_more(By.NONE, "nothing waits", min(_enough(measures), members))


def _enough(measures: Measures) -> int:
    """Return the fewest replicas of which the one with most partitions would be well used, at this load."""
    owned, partitions = len(measures.owned), measures.partitions
    used = max(measures.cpu, measures.in_flight_used) / owned
    share = int(_WELL_USED / used) if used * partitions > _WELL_USED else partitions
    return ceil(partitions / max(share, 1))


def _kafka_is_slow(measures: Measures) -> bool:
    """Return whether Kafka holds up what is sent: by itself, or as most of the time that e-mails are in flight."""
    if measures.publish_seconds >= _SLOW_PUBLISH_SECONDS:
        return measures.in_flight > 0
    full = measures.in_flight_used >= _USED_UP
    return full and _PUBLISHES * measures.publish_seconds * 2 > measures.seconds_in_flight > 0


def _no_more(by: By, why: str, wanted: int) -> Limit:
    return Limit(by, f"More replicas do not help: {why}.", wanted)


def _more(measures: Measures, members: int, by: By, why: str, times: float) -> Limit:
    """Want *times* as many, twice as many at most, and so many that the one with most partitions gets fewer."""
    owned, partitions = len(measures.owned), measures.partitions
    if owned == 1:
        return _no_more(By.PARTITIONS, f"a partition has one replica at most, and {why}", members)
    wanted = max(ceil(members * min(times, 2.0)), ceil(partitions / (owned - 1)))
    return Limit(by, f"More replicas help: {why}.", min(wanted, partitions))
