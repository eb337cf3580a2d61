"""Lists the fixtures' modules, says how Hypothesis runs, and marks and groups tests by what they need."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.kafka", "tests.secured_kafka"]

# How long an example takes says more of what else the machine does than of the test.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

_BROKERS = {"kafka", "secured_kafka", "one_broker"}
_EACH_ALONE = "tests/simulation/"
"""Tests that share nothing, so that processes may divide them as they like."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs brokers, and keep on one process what shares them; begin with what takes longest."""
    for item in items:
        room = item.nodeid.split("::")[0].split("/")[1]
        needs_brokers = not _BROKERS.isdisjoint(_fixtures(item))
        if needs_brokers:
            item.add_marker(pytest.mark.kafka)
        if room == "chaos" and needs_brokers:
            item.add_marker(pytest.mark.chaos)
        if room == "chaos":
            item.add_marker(pytest.mark.xdist_group("chaos"))
        elif needs_brokers or item.get_closest_marker("kafka"):
            item.add_marker(pytest.mark.xdist_group(f"kafka {room}"))
        elif not item.nodeid.startswith(_EACH_ALONE):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))
    items.sort(key=_turn)


def _fixtures(item: pytest.Item) -> set[str]:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return set(getattr(item, "fixturenames", ())) - set(parameters)


def _turn(item: pytest.Item) -> int:
    for turn, name in enumerate(("chaos", "kafka")):
        if item.get_closest_marker(name):
            return turn
    return 2
