"""Every scenario, by name; each can run alone."""

from __future__ import annotations

from types import ModuleType

from tests.chaos.scenario import Scenario
from tests.chaos.scenarios import (
    backlogs,
    brokers,
    callers,
    clocks,
    comparison,
    contacts,
    feedback,
    hostile,
    network,
    records,
    recreated_topics,
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
    recreated_topics,
    feedback,
)


def _number(scenario: Scenario) -> tuple[int, str]:
    return int(scenario.number.rstrip("abcdefgh")), scenario.number


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in sorted((scenario for module in _MODULES for scenario in module.SCENARIOS), key=_number)
}
