"""An environment whose programs Prometheus scrapes, and the alerts that a test waits for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex

from deploy.local.ports import HOST, free_ports
from deploy.monitoring.export import all_alerts
from deploy.monitoring.model import FACADE_JOB, REPLICA_JOB, Alert
from tests.alerts.prometheus import Prometheus
from tests.processes import Process
from tests.sqs import Queue
from tests.stage import Stage, open_stage

_JOBS = {"service": FACADE_JOB, "consumers": REPLICA_JOB}
_LOOK_EVERY_SECONDS = 0.3
_WITHIN_SECONDS = 240.0


def rule_name(alert: Alert) -> str:
    """Return what tells a rule from others: its name, its severity and the values of its own labels."""
    return " ".join((alert.name, str(alert.severity), *alert.labels.values()))


ALERTS = {rule_name(alert): alert for alert in all_alerts()}


class Environment:
    """A stage, and a Prometheus that scrapes its programs."""

    def __init__(self, stage: Stage, prometheus: Prometheus) -> None:
        self.stage = stage
        self._prometheus = prometheus
        self._ports: dict[str, int] = {}

    @property
    def name(self) -> str:
        """Return the label that tells it from others."""
        namespace = self.stage.topics.namespace
        assert namespace is not None
        return namespace

    async def start(self, pod: str = "replica-a", program: str = "consumers", /, **settings: object) -> Process:
        """Start a program as a pod, and let it be scraped before it is ready. A pod keeps its address."""
        process = await self.launch(pod, program, **settings)
        await process.ready()
        return process

    async def launch(self, pod: str, program: str = "consumers", /, **settings: object) -> Process:
        """Do the same, but do not wait until it is ready."""
        return await self.stage.launch(program, management_port=self.scraped(pod, program), **settings)

    def scraped(self, pod: str, program: str = "consumers") -> int:
        """Return the management port of a pod, from now on scraped."""
        if pod not in self._ports:
            (self._ports[pod],) = free_ports(1)
            address, instance = f"{HOST}:{self._ports[pod]}", f"{self.name}-{pod}"
            self._prometheus.scrape(address, job=_JOBS[program], pod=pod, instance=instance, namespace=self.name)
        return self._ports[pod]

    async def start_time(self, pod: str) -> str | None:
        """Return when a pod's program was started, if Prometheus knows that."""
        found = await self._prometheus.value(f'process_start_time_seconds{{instance="{self.name}-{pod}"}}')
        return found[0]["value"][1] if found else None

    async def firing(self) -> set[str]:
        """Return the names of the rules that fire."""
        found = await self._prometheus.firing(self.name)
        return {
            name
            for name, alert in ALERTS.items()
            if any(
                {"alertname": alert.name, "severity": str(alert.severity), **alert.labels}.items() <= labels.items()
                for labels in found
            )
        }


class Watch:
    """The rules that a test declares to provoke: awaits each, and notes how long that took."""

    def __init__(self, declared: Collection[str], note: Callable[[str, float], None]) -> None:
        assert set() == set(declared) - set(ALERTS)
        self._declared = frozenset(declared)
        self._note = note
        self._began = time.monotonic()
        self.left = set(declared)
        """Those that were not seen firing yet."""

    def begin(self) -> None:
        """Count the seconds from now on."""
        self._began = time.monotonic()

    async def fire(self, environment: Environment, *rules: str, within: float = _WITHIN_SECONDS) -> None:
        """Wait until each of these rules, or of all that are declared, has been seen firing."""
        wanted = set(rules or self._declared)
        assert set() == wanted - self._declared
        await self._until(environment, lambda firing: not self._seen(wanted, firing), within, f"{wanted} to fire")

    def _seen(self, wanted: set[str], firing: Collection[str]) -> set[str]:
        for rule in self.left.intersection(firing):
            self._note(rule, time.monotonic() - self._began)
        self.left.difference_update(firing)
        return wanted & self.left

    async def end(self, environment: Environment, *rules: str, within: float = _WITHIN_SECONDS) -> None:
        """Wait until none of these rules fires, or none of all that are declared."""
        wanted = set(rules or self._declared)
        await self._until(environment, wanted.isdisjoint, within, f"{wanted} to end")

    async def _until(
        self, environment: Environment, done: Callable[[set[str]], bool], within: float, what: str
    ) -> None:
        limit, firing = time.monotonic() + within, set[str]()
        while time.monotonic() < limit:
            firing = await environment.firing()
            if done(firing):
                return
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
        raise AssertionError(f"waited {within:g} s in vain for {what}; firing: {sorted(firing)}")


@asynccontextmanager
async def environment(
    bootstrap_servers: str, prometheus: Prometheus, logs: Path, *, queue: Queue | None = None
) -> AsyncIterator[Environment]:
    """Open a stage in a namespace of its own; when it ends, nothing of it is scraped any more."""
    async with open_stage(bootstrap_servers, f"t-{token_hex(4)}", logs, queue=queue) as stage:
        yield (opened := Environment(stage, prometheus))
    prometheus.forget(opened.name)
