"""Lists the fixtures' modules, says how Hypothesis runs, and marks and groups tests by what they need."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.kafka", "tests.secured_kafka"]

# How long an example takes says more of what else the machine does than of the test.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

_BROKERS = {"kafka", "secured_kafka", "one_broker"}
_SHARE_A_BROKER = {"chaos", "crash_points", "end_to_end", "integration", "seams"}
"""Rooms whose tests run in one process, since each process starts brokers of its own."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs brokers, and begin with it: it takes longest."""
    for item in items:
        if not _BROKERS.isdisjoint(_fixtures(item)):
            item.add_marker(pytest.mark.kafka)
            if _room(item.nodeid) == "chaos":
                item.add_marker(pytest.mark.chaos)
    items.sort(key=_turn)


def _fixtures(item: pytest.Item) -> set[str]:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return set(getattr(item, "fixturenames", ())) - set(parameters)


def _room(nodeid: str) -> str:
    return nodeid.split("::", maxsplit=1)[0].split("/")[1]


def _turn(item: pytest.Item) -> int:
    room = _room(item.nodeid)
    return sorted(_SHARE_A_BROKER).index(room) if room in _SHARE_A_BROKER else len(_SHARE_A_BROKER)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Divide the tests among processes: by room if they share a broker, else by file; each simulated run alone."""
    from xdist.scheduler import LoadScopeScheduling

    class ByBroker(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
        """Keeps the order of the collection within and between scopes."""

        def _split_scope(self, nodeid: str) -> str:
            room = _room(nodeid)
            if room in _SHARE_A_BROKER:
                return room
            return nodeid if room == "simulation" else nodeid.split("::", maxsplit=1)[0]

    config.option.loadscopereorder = False
    return ByBroker(config, log)
