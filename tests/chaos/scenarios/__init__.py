"""Every scenario, by name; any may be played by itself."""

from __future__ import annotations

from types import ModuleType

from tests.chaos.playing import Scenario
from tests.chaos.scenarios import (
    anew,
    backlogs,
    brokers,
    callers,
    clocks,
    comparison,
    contacts,
    hostile,
    network,
    records,
    replicas,
    ses,
)

_MODULES: tuple[ModuleType, ...] = (
    replicas,
    brokers,
    ses,
    clocks,
    backlogs,
    network,
    comparison,
    records,
    callers,
    contacts,
    hostile,
    anew,
)


def _number(scenario: Scenario) -> tuple[int, str]:
    return int(scenario.number.rstrip("abcdefgh")), scenario.number


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in sorted((scenario for module in _MODULES for scenario in module.SCENARIOS), key=_number)
}
