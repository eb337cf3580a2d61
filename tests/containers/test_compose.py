"""compose.yaml: everything starts together, and Prometheus has figures."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from docker import DockerClient  # it ships no types

from deploy.local.ports import HOST, free_ports
from deploy.monitoring.model import FACADE_JOB, REPLICA_JOB
from runtime.kafka.topics import DEFAULT_PARTITIONS
from tests.containers.images import COMPOSE, for_compose
from tests.contract.installed import require, runs
from tests.processes import ROOT
from tests.waiting import until

pytestmark = [pytest.mark.compose, pytest.mark.timeout(900)]  # the first test waits until all images are built

_PORTS = ("HTTP_PORT", "SES_PORT", "PROMETHEUS_PORT", "KAFKA_PORT", "KAFKA_PORT_2", "KAFKA_PORT_3")
_UP_SECONDS = 800.0
_FIGURES_SECONDS = 120.0
_NEWCOMERS_SECONDS = 180.0
_EMPTY_IF_ALL_IS_WELL = {"For a person", "Halted", "Objectives missed"}
_DASHBOARD = ROOT / "deploy" / "monitoring" / "dashboard.json"


@dataclass(frozen=True)
class Compose:
    """The running services, by the addresses that they have on this machine."""

    rest: str
    mailbox: str
    prometheus: str
    variables: Mapping[str, str]

    def run(self, *arguments: str) -> str:
        """Run `docker compose`, and return what it prints."""
        command = [
            "docker",
            "compose",
            "--project-name",
            "pause-notifications-test",
            "--file",
            str(COMPOSE),
            *arguments,
        ]
        done = subprocess.run(
            command,
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            timeout=_UP_SECONDS,
            check=False,
        )
        assert 0 == done.returncode, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout


@pytest.fixture(name="compose")
def _compose(engine: DockerClient) -> Iterator[Compose]:
    """Start all services on free ports, and remove them afterwards."""
    require(lambda: runs("docker", "compose", "version"), "Docker Compose (the plugin `docker compose`)")
    ports = dict(zip(_PORTS, map(str, free_ports(len(_PORTS))), strict=True))
    variables = {"DOCKER_BUILDKIT": "0", **ports, **for_compose(engine).variables}
    rest, mailbox, prometheus = (f"http://{HOST}:{ports[name]}" for name in _PORTS[:3])
    compose = Compose(rest, mailbox, prometheus, variables)
    try:
        compose.run("up", "--build", "--wait")
        yield compose
    finally:
        compose.run("down", "--volumes")


async def test_everything_starts_and_prometheus_has_figures(compose: Compose) -> None:
    """After a call and an event Prometheus has a curve for each panel of the dashboard that is not about trouble."""
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=compose.rest, trust_env=False, timeout=35) as rest:
        answer = await rest.post("/api/v1/pause-notifications/pause-lifted", json={"mentor_id": "mentor-042"})
    publish = ("pause-notifications", "events", "publish", "pause-lifted", "--mentor", "mentor-051")
    await asyncio.to_thread(compose.run, "exec", "-T", "facade", *publish)

    async with httpx.AsyncClient(base_url=compose.prometheus, trust_env=False) as prometheus:
        await until(lambda: _all_scraped(prometheus), within=_FIGURES_SECONDS, what="all programs to be scraped")
        await until(lambda: _all_drawn(prometheus), within=_FIGURES_SECONDS, what="a curve in each panel")

    assert 200 == answer.status_code
    assert ["sent"] * 2 == [one["status"] for one in answer.json()["notifications_dispatched"]]
    assert time.monotonic() - began < _NEWCOMERS_SECONDS


async def _all_scraped(prometheus: httpx.AsyncClient) -> bool:
    """Return whether one facade and two replicas are up, and own all partitions."""
    up = await _found(prometheus, "count by (job) (up == 1)")
    owned = await _found(prometheus, "sum(pause_notifications_partitions_owned)")
    programs = {one["metric"]["job"]: one["value"][1] for one in up}
    return {FACADE_JOB: "1", REPLICA_JOB: "2"} == programs and [str(DEFAULT_PARTITIONS)] == [
        one["value"][1] for one in owned
    ]


async def _all_drawn(prometheus: httpx.AsyncClient) -> bool:
    """Return whether the dashboard's panels have curves, but for those that are empty while all is well."""
    panels = json.loads(_DASHBOARD.read_text(encoding="utf-8"))["panels"]
    expressions = {panel["title"]: panel["targets"][0]["expr"] for panel in panels if panel.get("targets")}
    empty = [title for title, expr in expressions.items() if not await _found(prometheus, expr)]
    return _EMPTY_IF_ALL_IS_WELL >= set(empty)


async def _found(prometheus: httpx.AsyncClient, expr: str) -> list[Any]:
    asked = await prometheus.get("/api/v1/query", params={"query": expr.replace("$namespace", ".*")})
    result: list[Any] = asked.raise_for_status().json()["data"]["result"]
    return result
