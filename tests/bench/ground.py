"""What every measurement stands on: a broker, SES answering in 50 ms, fresh topics, and the programs."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local.brokers import embedded_kafka
from deploy.local.environments import programs_environ
from deploy.local.ports import HOST, free_ports
from deploy.local.programs import Program, start_program
from runtime.kafka.publisher import KafkaPublisher
from runtime.kafka.topics import DEFAULT_PARTITIONS, Topics, create_topics
from runtime.settings import env_name
from tests.load import Load, Producer

SES_SECONDS = 0.05
_ROOT = Path(__file__).resolve().parents[2]
_READY_SECONDS = 60.0
_STOP_SECONDS = 40.0
_LOOK_EVERY_SECONDS = 0.01
_FAST = {"latency_ms": SES_SECONDS * 1000, "max_24_hour_send": -1}


class BenchFailed(Exception):
    """A measurement cannot go on; the message says why."""


@dataclass(frozen=True)
class Started:
    """A program that runs, and how long it took to be ready."""

    program: Program
    seconds: float

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.program.child.pid


class Ground:
    """The surroundings of one run of the bench."""

    def __init__(self, directory: Path, servers: str, broker_pid: int, ses_port: int) -> None:
        self.servers = servers
        self.broker_pid = broker_pid
        self.ses_pid = 0
        self.ses = httpx.AsyncClient(base_url=f"http://{HOST}:{ses_port}", trust_env=False, timeout=5)
        self._directory = directory
        self._environ = programs_environ(os.environ, servers=servers, ses_port=ses_port, own_kafka=True)
        self._environ |= {env_name("log_format"): "json", "PEER_SERVERS": servers}

    async def fresh(self, name: str, load: Load) -> Topics:
        """Make new topics with the contacts of *load* in them, and an empty mailbox."""
        topics = Topics(name)
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            await create_topics(admin, topics)
        finally:
            await admin.close()
        async with self.producer(topics) as producer:
            await producer.contacts(load.contacts())
        for path in ("/admin/mails", "/admin/stats"):
            (await self.ses.delete(path)).raise_for_status()
        return topics

    @asynccontextmanager
    async def producer(self, topics: Topics) -> AsyncIterator[Producer]:
        """Give a producer for these topics."""
        publisher = KafkaPublisher({"bootstrap_servers": self.servers}, deadline_seconds=5, linger_ms=2)
        await publisher.start()
        try:
            yield Producer(publisher, topics, DEFAULT_PARTITIONS)
        finally:
            await publisher.stop()

    async def stats(self) -> dict[str, Any]:
        """Give SES's counters."""
        answer = await self.ses.get("/admin/stats")
        answers: dict[str, Any] = answer.raise_for_status().json()
        return answers

    @asynccontextmanager
    async def running(
        self, name: str, arguments: list[str], *, probe: str | None = None, extra: dict[str, str] | None = None
    ) -> AsyncIterator[Started]:
        """Run one program until the end; where *probe* is given, wait first until it answers 200."""
        began = time.monotonic()
        environ = {**self._environ, **(extra or {})}
        program = start_program(name, arguments, logs=self._directory, cwd=_ROOT, environ=environ, probe=probe or "")
        try:
            if probe is not None:
                await until_ready(program)
            yield Started(program, time.monotonic() - began)
        finally:
            await program.child.stop(within=_STOP_SECONDS)

    @asynccontextmanager
    async def replica(self, topics: Topics, *, ready: bool = True) -> AsyncIterator[Started]:
        """Run a replica."""
        (port,) = free_ports(1)
        extra = {env_name("namespace"): topics.namespace, env_name("management_port"): str(port)}
        probe = f"http://{HOST}:{port}/readyz" if ready else None
        async with self.running("replica", ["consumers"], probe=probe, extra=extra) as started:
            yield started

    @asynccontextmanager
    async def facade(self, topics: Topics) -> AsyncIterator[tuple[Started, httpx.AsyncClient]]:
        """Run a facade, and give a caller's client beside it."""
        port, management = free_ports(2)
        extra = {env_name("namespace"): topics.namespace, env_name("management_port"): str(management)}
        extra[env_name("http_port")] = str(port)
        async with (
            self.running("facade", ["service"], probe=f"http://{HOST}:{management}/readyz", extra=extra) as started,
            httpx.AsyncClient(base_url=f"http://{HOST}:{port}", trust_env=False, timeout=35) as caller,
        ):
            yield started, caller

    @asynccontextmanager
    async def peer(self, topics: Topics) -> AsyncIterator[Started]:
        """Run the plain peer."""
        async with self.running("peer", ["tests.bench.peer", *topics.events]) as started:
            yield started


async def until_ready(program: Program) -> None:
    """Wait until a program's probe says 200, looking more often than a person would, since it is timed."""
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
async def ground(directory: Path, tell: Callable[[str], object]) -> AsyncIterator[Ground]:
    """Run broker and SES until the end."""
    (ses_port,) = free_ports(1)
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(embedded_kafka(directory / "kafka", fresh=True, on_progress=tell))
        stage = Ground(directory, cluster.bootstrap_servers, cluster.brokers[0].pid or 0, ses_port)
        stack.push_async_callback(stage.ses.aclose)
        arguments = ["deploy.local.ses", "--port", str(ses_port), "--max-send-rate", "100000"]
        probe = f"http://{HOST}:{ses_port}/livez"
        ses = await stack.enter_async_context(stage.running("ses", arguments, probe=probe))
        stage.ses_pid = ses.pid
        (await stage.ses.patch("/admin/faults", json=_FAST)).raise_for_status()
        yield stage
