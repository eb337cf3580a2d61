"""A real Prometheus that scrapes the programs of tests, and what it says of their alerts."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from deploy.local.child import Child
from deploy.local.ports import HOST, free_ports
from deploy.monitoring.export import PREFIX
from deploy.monitoring.model import Site
from tests.alerts.scaled import LOOKBACK_SECONDS, SCRAPE_SECONDS, scaled_rules
from tests.stage import PARTITIONS

_START_SECONDS = 30.0
_POLL_SECONDS = 0.2
_MILLISECONDS = 1000
_TARGETS = "targets-*.json"

SITE = Site(partitions=PARTITIONS, retention_days=2)
"""An installation as on a stage. Its topics keep events for so short a time that an unfinished one is near the end."""


class Prometheus:
    """A running Prometheus. Each environment that it scrapes is told from the others by the label `namespace`."""

    def __init__(self, address: str, targets: Path) -> None:
        """Tell it in a file of this process in the folder *targets* what to scrape."""
        self._address = address
        self._targets = targets / _TARGETS.replace("*", str(os.getpid()))
        self._known: dict[str, dict[str, str]] = {}

    def scrape(self, address: str, **labels: str) -> None:
        """Scrape a program as well, under these labels."""
        self._known[labels["instance"]] = {"__address__": address, **labels}
        self._write()

    def forget(self, namespace: str) -> None:
        """Scrape nothing of an environment any more."""
        self._known = {name: labels for name, labels in self._known.items() if labels["namespace"] != namespace}
        self._write()

    def _write(self) -> None:
        groups = [
            {"targets": [labels["__address__"]], "labels": {k: v for k, v in labels.items() if k != "__address__"}}
            for labels in self._known.values()
        ]
        fresh = self._targets.with_suffix(".new")
        fresh.write_text(json.dumps(groups))
        fresh.replace(self._targets)

    async def firing(self, namespace: str) -> list[Mapping[str, str]]:
        """Return the labels of an environment's alerts that fire; raise httpx.HTTPError."""
        async with self._client() as client:
            answer = (await client.get("/api/v1/alerts")).raise_for_status().json()
        return [
            {**alert["labels"], "alertname": alert["labels"]["alertname"].removeprefix(PREFIX)}
            for alert in answer["data"]["alerts"]
            if alert["state"] == "firing" and alert["labels"].get("namespace") == namespace
        ]

    async def value(self, expr: str) -> list[Any]:
        """Return the result of an expression; raise httpx.HTTPError."""
        async with self._client() as client:
            answer = (await client.get("/api/v1/query", params={"query": expr})).raise_for_status().json()
        found: list[Any] = answer["data"]["result"]
        return found

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self._address, trust_env=False, timeout=30)


@contextmanager
def running(folder: Path, site: Site = SITE) -> Iterator[str]:
    """Run a Prometheus with the scaled rules until the context ends; yield its address."""
    rules, config = folder / "rules.yaml", folder / "prometheus.yaml"
    rules.write_text(yaml.safe_dump(scaled_rules(site)))
    interval = f"{int(SCRAPE_SECONDS * _MILLISECONDS)}ms"
    config.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
                "rule_files": [rules.name],
                "scrape_configs": [{"job_name": "programs", "file_sd_configs": [{"files": [_TARGETS]}]}],
            }
        )
    )
    (port,) = free_ports(1)
    child = Child(
        [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={HOST}:{port}",
            f"--query.lookback-delta={int(LOOKBACK_SECONDS * _MILLISECONDS)}ms",
            "--log.level=warn",
        ],
        log=folder / "prometheus.log",
    )
    try:
        _until_ready(child, f"http://{HOST}:{port}", folder / "prometheus.log")
        yield f"http://{HOST}:{port}"
    finally:
        child.kill()


def _until_ready(child: Child, address: str, log: Path) -> None:
    limit = time.monotonic() + _START_SECONDS
    with httpx.Client(base_url=address, trust_env=False) as client:
        while time.monotonic() < limit:
            assert child.running, f"Prometheus has ended: {log.read_text()}"
            try:
                if client.get("/-/ready").is_success:
                    return
            except httpx.HTTPError:
                time.sleep(_POLL_SECONDS)
    raise AssertionError(f"Prometheus is not ready after {_START_SECONDS:g} s: {log.read_text()}")
