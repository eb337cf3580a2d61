"""
The arithmetic of Kubernetes' HorizontalPodAutoscaler, for one external metric of the type AverageValue. No I/O.

It follows `pkg/controller/podautoscaler` of Kubernetes 1.34: the ratio with its tolerance, the stabilisation windows,
and the policies. KEDA makes such an autoscaler, and asks the trigger whenever it is
asked. KEDA's own polling interval counts only between 0 and 1 replicas.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil
from typing import Any

SYNC_SECONDS = 15
"""How often the autoscaler looks."""
TOLERANCE = 0.1
"""Within a tenth of the present number nothing changes."""


@dataclass(frozen=True)
class Policy:
    """How much may change in a period."""

    percent: bool
    value: int
    period_seconds: int


@dataclass(frozen=True)
class Rules:
    """One direction: the window whose recommendations count, and the policies, of which the widest counts."""

    window_seconds: int
    policies: tuple[Policy, ...]


@dataclass(frozen=True)
class Behavior:
    """What an autoscaler may do."""

    at_least: int
    at_most: int
    up: Rules
    down: Rules


KUBERNETES_UP = Rules(
    0, (Policy(percent=True, value=100, period_seconds=15), Policy(percent=False, value=4, period_seconds=15))
)
KUBERNETES_DOWN = Rules(300, (Policy(percent=True, value=100, period_seconds=15),))
"""What Kubernetes does if nothing is said."""


def rules_of(written: Mapping[str, Any]) -> Rules:
    """Return one direction of a `behavior`, as it is written in YAML."""
    policies = (Policy(one["type"] == "Percent", one["value"], one["periodSeconds"]) for one in written["policies"])
    return Rules(written["stabilizationWindowSeconds"], tuple(policies))


@dataclass
class Autoscaler:
    """One autoscaler, and what it remembers."""

    behavior: Behavior
    target: float = 1.0
    """The metric for each replica."""
    _recommended: deque[tuple[float, int]] = field(default_factory=deque)
    _changes: deque[tuple[float, int]] = field(default_factory=deque)

    def wanted(self, now: float, current: int, metric: float | None) -> int:
        """Return the number of replicas that is set now; without a metric it stays."""
        if metric is None:
            return current
        raw = _recommendation(metric, self.target, current)
        stable = self._stabilised(now, current, raw)
        self._recommended.append((now, raw))
        allowed = min(max(self._limited(now, current, stable), self.behavior.at_least), self.behavior.at_most)
        if allowed != current:
            self._changes.append((now, allowed - current))
        return allowed

    def _stabilised(self, now: float, current: int, raw: int) -> int:
        """Bring the present number between the lowest recent recommendation and the highest."""
        up, down = self.behavior.up.window_seconds, self.behavior.down.window_seconds
        while self._recommended and self._recommended[0][0] <= now - max(up, down):
            self._recommended.popleft()
        lowest = min([raw, *(one for at, one in self._recommended if at > now - up)])
        highest = max([raw, *(one for at, one in self._recommended if at > now - down)])
        return min(max(current, lowest), highest)

    def _limited(self, now: float, current: int, stable: int) -> int:
        if stable > current:
            most = max(self._end_of(policy, now, current, up=True) for policy in self.behavior.up.policies)
            return min(stable, max(most, current))
        if stable < current:
            least = min(self._end_of(policy, now, current, up=False) for policy in self.behavior.down.policies)
            return max(stable, min(least, current))
        return current

    def _end_of(self, policy: Policy, now: float, current: int, *, up: bool) -> int:
        """Return how far a policy lets the number go, from where it was when its period began."""
        began = current - sum(change for at, change in self._changes if at > now - policy.period_seconds)
        if not policy.percent:
            return began + (policy.value if up else -policy.value)
        if up:
            return ceil(began * (1 + policy.value / 100))
        return int(began * (1 - policy.value / 100))


def _recommendation(metric: float, target: float, current: int) -> int:
    if current and abs(1.0 - metric / (target * current)) <= TOLERANCE:
        return current
    return ceil(metric / target)


def behavior_of(scaled: Mapping[str, Any]) -> Behavior:
    """Return the behavior of a ScaledObject's `spec`."""
    written = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    up, down = rules_of(written["scaleUp"]), rules_of(written["scaleDown"])
    return Behavior(scaled["minReplicaCount"], scaled["maxReplicaCount"], up, down)


def steps(numbers: Sequence[int]) -> int:
    """Return how often a number changes."""
    return sum(before != after for before, after in pairwise(numbers))
