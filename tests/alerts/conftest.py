"""One Kafka and one Prometheus for the alerts, and the table of what was seen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.kafka.cluster import Cluster
from tests.alerts import prometheus
from tests.alerts.environment import Watch
from tests.kafka import embedded, or_explain
from tests.monitoring import promtool

_PROPERTY = "alert"


@pytest.fixture(scope="session", name="cluster")
def _cluster(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run a broker with a second listener, for programs whose network is cut."""
    with or_explain(pytestconfig, embedded(tmp_path_factory.mktemp("kafka"), second_doors=True)) as cluster:
        yield cluster


@pytest.fixture(scope="session", name="scraping")
def _scraping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[prometheus.Prometheus]:
    """Run the Prometheus."""
    promtool.required()
    with prometheus.running(tmp_path_factory.mktemp("prometheus")) as scraping:
        yield scraping


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
