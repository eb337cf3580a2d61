"""Lists the fixtures' modules, says how Hypothesis runs, and marks and groups tests by what they need."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.kafka", "tests.secured_kafka"]

# How long an example takes says more of what else the machine does than of the test.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

_BROKERS = {"kafka", "secured_kafka", "one_broker"}
_FIRST = ("chaos", "crash_points", "end_to_end", "integration", "seams")
"""The rooms that take longest, in the order in which a run begins with them."""


def pytest_configure() -> None:
    """Let Ctrl-C reach the programs of tests: a shell's background job ignores it, and every child inherits that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs brokers, and begin with what takes longest."""
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
    return _FIRST.index(room) if room in _FIRST else len(_FIRST)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Divide the tests among processes by file; chaos is one unit, and each simulated run is one."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
        """Keeps the order of the collection within and between scopes."""

        def _split_scope(self, nodeid: str) -> str:
            room = _room(nodeid)
            if room == "chaos":  # its scenarios are played side by side on one cluster
                return room
            return nodeid if room == "simulation" else nodeid.split("::", maxsplit=1)[0]

    config.option.loadscopereorder = False
    return ByFile(config, log)
