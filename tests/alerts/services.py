"""The Kafka and the Prometheus of the suite: its files run side by side in processes of their own, and share them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from deploy.local.kafka.properties import SecondDoor
from tests.alerts import prometheus
from tests.kafka import embedded

VARIABLE = "PAUSE_NOTIFICATIONS_TEST_ALERTS"
"""Has the services as JSON, if they run already."""


@dataclass(frozen=True)
class Services:
    """Where they are."""

    bootstrap_servers: str
    second_port: int
    """Where the broker listens for programs whose network is cut."""
    advertised_port: int
    """Where such a program is told to connect to, and a proxy listens. One test at a time uses it."""
    prometheus: str
    targets: str
    """The folder where Prometheus finds what to scrape."""

    @property
    def second_door(self) -> SecondDoor:
        """Return the broker's second listener."""
        return SecondDoor(port=self.second_port, advertised_port=self.advertised_port)

    def as_json(self) -> str:
        """Return them for `VARIABLE`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what `as_json` wrote."""
        return cls(**json.loads(text))


@contextmanager
def running(folder: Path) -> Iterator[Services]:
    """Run both until the context ends; raise BrokerError."""
    data, targets = folder / "kafka", folder / "prometheus"
    for one in (data, targets):
        one.mkdir()
    with embedded(data, second_doors=True, patient=True) as cluster, prometheus.running(targets) as address:
        door = cluster.brokers[0].second_door
        assert door is not None
        yield Services(cluster.bootstrap_servers, door.port, door.advertised_port, address, str(targets))
