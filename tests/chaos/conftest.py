"""The cluster of three brokers that the short forms of all scenarios share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.ground import Ground
from tests.kafka import embedded, or_explain


@pytest.fixture(scope="session", name="three_brokers")
def _three_brokers(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Give a cluster that replicates as in production; it belongs to no test's event loop."""
    directory = tmp_path_factory.mktemp("chaos")
    with or_explain(pytestconfig, embedded(directory / "kafka", brokers=3, second_doors=True)) as cluster:
        yield Ground(directory, cluster, tell=lambda _line: None)
