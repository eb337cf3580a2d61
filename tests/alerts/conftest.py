"""One Kafka and one Prometheus for the alerts, and the table of what was seen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.alerts.environment import Watch
from tests.alerts.prometheus import Prometheus
from tests.alerts.services import VARIABLE, Services, running
from tests.kafka import or_explain
from tests.monitoring import promtool

_PROPERTY = "alert"


@pytest.fixture(scope="session", name="services")
def _services(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Return the services that run already; run them if only a part of the suite was asked for."""
    if shared := os.environ.get(VARIABLE):
        yield Services.from_json(shared)
        return
    promtool.required()
    with or_explain(pytestconfig, running(tmp_path_factory.mktemp("services"))) as services:
        yield services


@pytest.fixture(scope="session", name="scraping")
def _scraping(services: Services) -> Prometheus:
    """Return the Prometheus."""
    return Prometheus(services.prometheus, Path(services.targets))


@pytest.fixture(name="watch")
def _watch(request: pytest.FixtureRequest) -> Iterator[Watch]:
    """Return what awaits the alerts that a test declares; at its end each was seen."""
    mark = request.node.get_closest_marker("provokes")

    def note(rule: str, seconds: float) -> None:
        request.node.user_properties.append((_PROPERTY, [rule, request.node.name, seconds]))

    watch = Watch(mark.args, note)
    yield watch
    assert set() == watch.left


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print which alert was provoked by what, and how long it took."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, [])]
    rows = sorted(value for one in reports for name, value in one.user_properties if name == _PROPERTY)
    if not rows:
        return
    terminalreporter.write_sep("=", f"{len(rows)} rules were seen firing")
    for rule, test, seconds in rows:
        terminalreporter.write_line(f"{rule:38} {seconds:6.1f} s  {test.removeprefix('test_').replace('_', ' ')}")
