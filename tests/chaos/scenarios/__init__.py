"""Every scenario, by name; each plays alone."""

from __future__ import annotations

from tests.chaos.playing import Scenario
from tests.chaos.scenarios import replicas

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for module in (replicas,) for scenario in module.SCENARIOS}
