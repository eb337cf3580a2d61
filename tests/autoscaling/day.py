"""A day of load, and what a scaler makes of it. No I/O, no clock, no chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import exp
from typing import Any

from tests.autoscaling.autoscaler import (
    KUBERNETES_DOWN,
    KUBERNETES_UP,
    SYNC_SECONDS,
    Autoscaler,
    Behavior,
    behavior_of,
    steps,
)
from tests.autoscaling.fleet import START_SECONDS, STEP_SECONDS, Fleet, Surroundings
from tests.kubernetes.built import KUBERNETES, read_objects

HOUR = 3600
DAY = 24 * HOUR
SCRAPE_SECONDS = 30
ACCOUNT_RATE = 500.0
MIDNIGHT_REMINDERS = 100_000
_NIGHT, _MORNING, _AFTERNOON = 5.0, 150.0, 100.0
_SES, _SLOW_SES = 0.1, 1.2
REMINDERS_AT = 5 * 60
SLOW = (10 * HOUR, 12 * HOUR)
HALTED = (int(15.5 * HOUR), 16 * HOUR)
PARTS = {
    "midnight's reminders": (0, HOUR),
    "SES slow": (SLOW[0], SLOW[1] + HOUR),
    "halted, and after it": (HALTED[0], HALTED[1] + HOUR),
}
"""Three parts of the day, each with the hour after it in which a scaler comes to rest."""


def around(at: int) -> Surroundings:
    """Return what is so at a second of the day."""
    morning = exp(-(((at - 10.5 * HOUR) / (2 * HOUR)) ** 2))
    afternoon = exp(-(((at - 15 * HOUR) / (2 * HOUR)) ** 2))
    return Surroundings(
        events_a_second=_NIGHT + _MORNING * morning + _AFTERNOON * afternoon,
        burst=float(MIDNIGHT_REMINDERS if at == REMINDERS_AT else 0),
        account_rate=ACCOUNT_RATE,
        ses_seconds=_SLOW_SES if SLOW[0] <= at < SLOW[1] else _SES,
        halted=HALTED[0] <= at < HALTED[1],
    )


Metric = Callable[[Fleet], float]


@dataclass(frozen=True)
class Scaler:
    """What is asked, and what follows."""

    name: str
    metric: Metric
    target: float
    behavior: Behavior


def _wanted(fleet: Fleet) -> float:
    return float(fleet.limit.replicas_wanted)


def _lag(fleet: Fleet) -> float:
    return fleet.lag


def manifest() -> Mapping[str, Any]:
    """Return what KEDA is told."""
    spec: Mapping[str, Any] = read_objects(KUBERNETES / "components" / "keda" / "scaled-object.yaml")[0]["spec"]
    return spec


def scalers() -> tuple[Scaler, ...]:
    """Return ours, as its manifest says it, and two that look at the lag alone, with Kubernetes' own behavior."""
    spec = manifest()
    ours = behavior_of(spec)
    plain = Behavior(ours.at_least, ours.at_most, KUBERNETES_UP, KUBERNETES_DOWN)
    target = float(spec["advanced"]["scalingModifiers"]["target"])
    return (
        Scaler("by reason", _wanted, target, ours),
        Scaler("by lag, 100 a replica", _lag, 100.0, plain),
        Scaler("by lag, 1,000 a replica", _lag, 1000.0, plain),
    )


@dataclass
class Course:
    """What happened in a day, step by step."""

    replicas: list[int] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    delays: dict[int, float] = field(default_factory=dict)
    """How many events were delayed by so many seconds."""
    worst: list[float] = field(default_factory=list)
    """The longest delay of what was sent in a step."""
    rebalances: int = 0
    paused_seconds: float = 0.0

    @property
    def replica_hours(self) -> float:
        """Return for how long replicas ran, all together."""
        return sum(self.replicas) * STEP_SECONDS / HOUR

    def late(self, seconds: int) -> float:
        """Return the share of the events that were sent later than so many seconds after they came."""
        late = sum(count for delay, count in self.delays.items() if delay > seconds)
        return late / sum(self.delays.values())

    def part(self, times: tuple[int, int]) -> Part:
        """Return what happened between two seconds of the day."""
        first, last = times[0] // STEP_SECONDS, times[1] // STEP_SECONDS
        replicas = self.replicas[first:last]
        return Part(max(replicas), steps(replicas), max(self.worst[first:last]))


@dataclass(frozen=True)
class Part:
    """A part of a day."""

    most_replicas: int
    rebalances: int
    longest_delay: float


def play(scaler: Scaler, surroundings: Callable[[int], Surroundings] = around, seconds: int = DAY) -> Course:
    """Let a day pass."""
    fleet = Fleet(scaler.behavior.at_least)
    autoscaler = Autoscaler(scaler.behavior, scaler.target)
    course, wanted, metric = Course(), fleet.members, None
    joining: list[tuple[int, int]] = []
    for at in range(0, seconds, STEP_SECONDS):
        if at % SCRAPE_SECONDS == 0 and at:
            metric = scaler.metric(fleet)
        if at % SYNC_SECONDS == 0:
            now_wanted = autoscaler.wanted(at, wanted, metric)
            if now_wanted != wanted:
                joining.append((at + (START_SECONDS if now_wanted > wanted else 0), now_wanted))
                wanted = now_wanted
        members = fleet.members
        while joining and joining[0][0] <= at:
            members = joining.pop(0)[1]
        _take(course, fleet, fleet.step(at, members, surroundings(at)))
    course.rebalances, course.paused_seconds = fleet.rebalances, fleet.paused_seconds
    return course


def _take(course: Course, fleet: Fleet, sent: list[tuple[float, float]]) -> None:
    course.replicas.append(fleet.members)
    course.lags.append(fleet.lag)
    for delay, count in sent:
        course.delays[int(delay)] = course.delays.get(int(delay), 0.0) + count
    course.worst.append(max((delay for delay, _ in sent), default=0.0))


def courses() -> Mapping[str, Course]:
    """Return the day of each scaler, by its name."""
    return {scaler.name: play(scaler) for scaler in scalers()}
