"""The surroundings of every measurement: a broker, an SES that answers in 50 ms, new topics, and processes."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from deploy.local.environments import programs_environ
from deploy.local.kafka.cluster import embedded_kafka
from deploy.local.ports import HOST, free_ports
from deploy.local.programs import Program, start_program
from runtime.kafka.connection import connected_admin
from runtime.kafka.topics import DEFAULT_PARTITIONS, Topics, create_topics
from runtime.settings import env_name
from schemas.contacts import contact_json
from schemas.placement import partition_for
from tests.bench.figures import Show
from tests.load import Load, Prepared, prepared, publish_at_once
from tests.processes import ROOT
from tests.signing import keys_file

SES_SECONDS = 0.05
PARTITIONS = DEFAULT_PARTITIONS
_READY_SECONDS = 60.0
_STOP_SECONDS = 40.0
_LOOK_EVERY_SECONDS = 0.01
_STANDSTILL_SECONDS = 60.0
_QUIET_SECONDS = 0.5
_FAST = {"latency_ms": SES_SECONDS * 1000, "max_24_hour_send": -1, "max_send_rate": 100_000}


class BenchFailed(Exception):
    """A measurement cannot go on; the message says why."""


@dataclass(frozen=True)
class Started:
    """A running program, when it was started, and how long it took until it was ready."""

    program: Program
    began: float
    """In seconds since the epoch."""
    seconds: float
    management: str

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.program.child.pid

    async def metric(self, name: str) -> float:
        """Return the sum of a metric of the program over all its labels."""
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            lines = (await client.get(f"{self.management}/metrics")).text.splitlines()
        found = (line.rpartition(" ") for line in lines)
        return sum(float(value) for of, _, value in found if of.partition("{")[0] == f"pause_notifications_{name}")


class Environment:
    """The surroundings of one run of the bench."""

    def __init__(self, directory: Path, servers: str, broker_pid: int | None, ses_port: int) -> None:
        self.servers = servers
        self.ses_address = f"http://{HOST}:{ses_port}"
        self.ses = httpx.AsyncClient(base_url=self.ses_address, trust_env=False, timeout=5)
        self.pids: dict[str, int] = {} if broker_pid is None else {"broker": broker_pid}
        """The processes that all programs use: SES, and the broker if it is ours."""
        self._directory = directory
        self._environ = programs_environ(os.environ, servers=servers, ses_port=ses_port, own_kafka=True)
        self._environ |= {env_name("log_format"): "json", env_name("signing_keys_file"): str(keys_file())}
        self._started = 0

    # -- topics and records --------------------------------------------------------------------------------------

    @asynccontextmanager
    async def topics(self, name: str, load: Load) -> AsyncIterator[Topics]:
        """Create topics with the contacts of *load*, and reset SES; delete the topics at the end."""
        topics = Topics(f"{name}-{os.urandom(3).hex()}")
        async with connected_admin({"bootstrap_servers": self.servers}) as admin:
            await create_topics(admin, topics, partitions=PARTITIONS)
        try:
            await self.publish(_contacts(load, topics))
            await self.ses_as_at_start()
            yield topics
        finally:
            async with connected_admin({"bootstrap_servers": self.servers}) as admin:
                await admin.delete_topics(list(topics.all))

    async def publish(self, records: Iterable[Prepared], show: Show | None = None, count: int = 1) -> None:
        """Publish records in a thread, and show how many of *count* are accepted."""
        taken = 0

        def on_taken() -> None:
            nonlocal taken
            taken += 1
            if show is not None and taken % 1000 == 0:
                show(f"publishing {count:,} records", taken / count)

        await asyncio.to_thread(publish_at_once, self.servers, records, on_taken)

    async def publish_events(self, topics: Topics, load: Load, numbers: range, show: Show) -> None:
        """Publish these events of *load*."""
        await self.publish(prepared(load, topics, PARTITIONS, numbers), show, len(numbers))

    # -- SES -----------------------------------------------------------------------------------------------------

    async def ses_as_at_start(self, **faults: object) -> None:
        """Empty mailbox and counters; SES answers in 50 ms at any rate, except for *faults*."""
        for path in ("/admin/mails", "/admin/stats"):
            (await self.ses.delete(path)).raise_for_status()
        (await self.ses.patch("/admin/faults", json=_FAST | faults)).raise_for_status()

    async def stats(self) -> dict[str, Any]:
        """Return SES's counters."""
        answer = await self.ses.get("/admin/stats")
        counters: dict[str, Any] = answer.raise_for_status().json()
        return counters

    async def sends(self, mails: int, programs: Iterable[Started], show: Callable[[int], object]) -> dict[str, Any]:
        """Wait until SES has accepted this many e-mails, and return its counters; raise BenchFailed if no more come."""
        last, moved_at, programs = 0, time.monotonic(), list(programs)
        while True:
            counters = await self.stats()
            accepted = counters["accepted"]
            show(accepted)
            if accepted >= mails:
                return counters
            if accepted > last:
                last, moved_at = accepted, time.monotonic()
            for one in programs:
                one.program.check_running()
            if time.monotonic() - moved_at > _STANDSTILL_SECONDS:
                tails = "\n".join(one.program.log_tail() for one in programs)
                raise BenchFailed(f"{accepted} of {mails} e-mails were sent, and no more come. {tails}")
            await asyncio.sleep(5 * _LOOK_EVERY_SECONDS)

    async def quiet(self) -> None:
        """Wait until no more e-mails are sent."""
        before, since = -1, time.monotonic()
        while time.monotonic() - since < _QUIET_SECONDS:
            counters = await self.stats()
            if counters["calls_in_flight"] or counters["calls"] != before:
                before, since = counters["calls"], time.monotonic()
            await asyncio.sleep(5 * _LOOK_EVERY_SECONDS)

    # -- programs ------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(
        self,
        arguments: list[str],
        *,
        settings: Mapping[str, object] | None = None,
        environ: Mapping[str, str] | None = None,
        probe: str | None = None,
        stop: bool = False,
        python: str = sys.executable,
    ) -> AsyncIterator[Started]:
        """
        Run `python -m` *arguments*, and wait for *probe*, if given: an address, or a path of the management port.

        At the end it is killed, since its topics are deleted, too; with *stop* it is stopped gracefully.
        """
        self._started += 1
        name = f"{arguments[0].rpartition('.')[2]}-{self._started}"
        (port,) = free_ports(1)
        management = f"http://{HOST}:{port}"
        told = {"management_port": port, **(settings or {})}
        environment = self._environ | {env_name(key): str(value) for key, value in told.items()} | dict(environ or {})
        address = f"{management}{probe}" if probe and probe.startswith("/") else probe or ""
        at, began = time.time(), time.monotonic()
        program = start_program(
            name, arguments, logs=self._directory, cwd=ROOT, environ=environment, probe=address, python=python
        )
        try:
            if address:
                await _until_ready(program)
            yield Started(program, at, time.monotonic() - began, management)
        finally:
            await program.child.stop(within=_STOP_SECONDS if stop else 0)

    @asynccontextmanager
    async def replica(
        self,
        topics: Topics,
        *,
        ready: bool = True,
        stop: bool = False,
        python: str = sys.executable,
        **settings: object,
    ) -> AsyncIterator[Started]:
        """Run a replica with *settings*."""
        told = {"namespace": topics.namespace, **settings}
        probe = "/readyz" if ready else None
        async with self.running(["consumers"], settings=told, probe=probe, stop=stop, python=python) as started:
            yield started


def _contacts(load: Load, topics: Topics) -> Iterable[Prepared]:
    for contact in load.contacts():
        place = topics.contacts, partition_for(contact.id, PARTITIONS)
        yield Prepared(*place, contact.id.encode(), contact_json(contact), [])


async def _until_ready(program: Program) -> None:
    """Wait until a program's probe answers 200; ask often, since the time is measured."""
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while not await _answers(client, program.probe):
                    program.check_running()
                    await asyncio.sleep(_LOOK_EVERY_SECONDS)
        except TimeoutError:
            raise BenchFailed(f"{program.name} is not ready. {program.log_tail()}") from None


async def _answers(client: httpx.AsyncClient, address: str) -> bool:
    try:
        return (await client.get(address)).is_success
    except httpx.HTTPError:
        return False


@asynccontextmanager
async def with_ses(directory: Path, servers: str, broker_pid: int | None = None) -> AsyncIterator[Environment]:
    """Run SES beside an existing broker."""
    (ses_port,) = free_ports(1)
    async with AsyncExitStack() as stack:
        env = Environment(directory, servers, broker_pid, ses_port)
        stack.push_async_callback(env.ses.aclose)
        arguments = ["deploy.local.ses", "--port", str(ses_port), "--keep", "1000"]
        ses = await stack.enter_async_context(env.running(arguments, probe=f"{env.ses_address}/livez"))
        env.pids["ses"] = ses.pid
        await env.ses_as_at_start()
        yield env


@asynccontextmanager
async def with_broker(directory: Path) -> AsyncIterator[Environment]:
    """Run broker and SES until the context ends; raise BrokerError if the broker does not start."""
    async with (
        embedded_kafka(directory / "kafka", fresh=True) as cluster,
        with_ses(directory, cluster.bootstrap_servers, cluster.brokers[0].pid) as env,
    ):
        yield env
