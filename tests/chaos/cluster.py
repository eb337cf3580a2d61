"""The surroundings of every scenario: shared brokers, and its own namespace, SES and programs."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from deploy.local.kafka.cluster import Cluster, embedded_kafka
from deploy.local.ports import HOST, free_ports
from deploy.local.programs import Program, start_program
from runtime.kafka.connection import connected_admin
from runtime.kafka.retry import UNAVAILABLE
from runtime.kafka.topics import Topics
from tests import processes
from tests.chaos.evidence import Evidence, Fate, Mark
from tests.chaos.watcher import PARTITIONS, Watcher
from tests.processes import ROOT, Process
from tests.sqs import LocalSqs, Queue, local_sqs

SESSION_SECONDS = 6.0
SES_TIMEOUT_SECONDS = 2.0
RECORD_DEADLINE_SECONDS = 1.5
_COMMAND_SECONDS = 60.0
_MOST_MAILS = 1000
_KEPT_TO_JUDGE = 50_000

SETTINGS: dict[str, dict[str, object]] = {
    "consumers": {
        "session_timeout_seconds": SESSION_SECONDS,
        "heartbeat_seconds": 1,
        "ses_timeout_seconds": SES_TIMEOUT_SECONDS,
        "record_deadline_seconds": RECORD_DEADLINE_SECONDS,
        "commit_deadline_seconds": 2,
        "drain_seconds": 9,
        "rebalance_timeout_seconds": 15,
        "request_timeout_seconds": 20,
        "account_interval_seconds": 1,
        "backoff_base_seconds": 0.2,
        "backoff_max_seconds": 3,
        "watchdog_seconds": 20,
        "max_sends_in_flight": 32,
        "reconcile_seconds": 20,
    },
    "service": {"http_host": HOST, "drain_seconds": 9},
}
"""By program: shorter time-outs than in production, in the same proportions, so that a scenario takes minutes."""


class ChaosFailed(Exception):
    """The test set-up itself failed; the message says why."""


@dataclass
class SharedCluster:
    """The brokers that scenarios share; each scenario has its own namespace."""

    directory: Path
    cluster: Cluster
    tell: Callable[[str], object]
    sqs: LocalSqs
    """Where SES's events wait; it runs only if a scenario has them."""


@asynccontextmanager
async def shared_cluster(
    directory: Path, tell: Callable[[str], object], *, quick_start: bool
) -> AsyncIterator[SharedCluster]:
    """Run a cluster of three brokers until the context ends; raise BrokerError if it does not start."""
    with local_sqs(directory) as sqs:
        async with embedded_kafka(
            directory / "kafka", brokers=3, fresh=True, second_doors=True, quick_start=quick_start, on_progress=tell
        ) as cluster:
            yield SharedCluster(directory, cluster, tell, sqs)


@dataclass(frozen=True)
class Peer:
    """A plain program that does the same work, and the environment that it gets beside the usual one."""

    name: str
    program: str
    environ: Mapping[str, str]


@dataclass
class World:
    """One scenario's own namespace on the shared cluster: its topics, SES, programs, and the evidence."""

    shared: SharedCluster
    namespace: str
    random: random.Random
    evidence: Evidence
    ses: Ses
    watcher: Watcher
    full: bool
    stack: AsyncExitStack
    peer: Peer | None = None
    """The program that runs instead of our replicas."""
    queue: Queue | None = None
    """Where SES publishes its events, and from where replicas take them; None if feedback is off."""
    replicas: list[Process] = field(default_factory=list)
    facades: list[Facade] = field(default_factory=list)
    _started: int = 0

    @property
    def servers(self) -> str:
        """Return the addresses of the brokers."""
        return self.shared.cluster.bootstrap_servers

    @property
    def directory(self) -> Path:
        """Return the directory for logs."""
        return self.shared.directory / self.namespace

    def size(self, *, short: float, full: float) -> int:
        """Return the size for the test suite, or that of a full run."""
        return int(full if self.full else short)

    def mark(self, kind: str, what: str) -> float:
        """Record a fault or another act for the timeline, and return its time."""
        now = time.time()
        self.evidence.marks.append(Mark(now, kind, what))
        self.shared.tell(f"{self.namespace}: {what}")
        return now

    # -- programs ------------------------------------------------------------------------------------------------

    async def start(
        self,
        program: str,
        *,
        wait: bool = True,
        like: str | None = None,
        environ: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> Process:
        """Start a program with the settings of *like* (by default its own), overridden by *settings*, and *environ*."""
        self._started += 1
        name = f"{program.rpartition('.')[2]}-{self._started}"
        chosen: dict[str, Any] = {
            "kafka_bootstrap_servers": self.servers,
            "namespace": self.namespace,
            **SETTINGS.get(like or program, {}),
            **(self.queue.settings if self.queue is not None and program == "consumers" else {}),
            **settings,
        }
        environ = {
            "AWS_ENDPOINT_URL_SESV2": chosen.pop("ses_address", self.ses.address),
            **({} if self.queue is None else self.queue.environ),
            **(environ or {}),
        }
        process = await self.stack.enter_async_context(
            processes.running(program, chosen, log_as=self.directory / f"{name}.log", environ=environ)
        )
        self.watcher.measure(process.name, process.pid)
        if wait:
            await process.ready()
        return process

    async def replica(self, *, wait: bool = True, program: str = "", **settings: Any) -> Process:
        """Start a replica."""
        if self.peer is not None:
            replica = await self.start(self.peer.program, wait=wait, environ=self.peer.environ)
        else:
            replica = await self.start(program or "consumers", wait=wait, like="consumers", **settings)
        self.replicas.append(replica)
        self.mark("start", f"{replica.name} started")
        return replica

    async def facade(self, *, program: str = "service", **settings: Any) -> Facade:
        """Start a facade."""
        (port,) = free_ports(1)
        process = await self.start(program, like="service", http_port=port, **settings)
        facade = Facade(process, f"http://{HOST}:{port}")
        self.facades.append(facade)
        return facade

    async def programs(self, *, replicas: int = 3, facades: int = 2, **settings: Any) -> None:
        """Start the usual set, side by side."""
        async with asyncio.TaskGroup() as starting:
            for _ in range(replicas):
                starting.create_task(self.replica(**settings))
            for _ in range(facades):
                starting.create_task(self.facade())

    async def kill(self, replica: Process) -> None:
        """End a replica with SIGKILL."""
        self.mark("kill", f"{replica.name} killed")
        await asyncio.to_thread(replica.kill)
        self.replicas.remove(replica)

    async def stop(self, replica: Process) -> int:
        """End a replica with SIGTERM, and return its exit code."""
        self.mark("stop", f"{replica.name} told to stop")
        self.replicas.remove(replica)
        return await replica.stop(within=40)

    # -- the operator's command ----------------------------------------------------------------------------------

    async def command(self, *arguments: str) -> str:
        """Run the operator's command and return its output; raise ChaosFailed if it fails."""
        environ = processes.environment(
            {"kafka_bootstrap_servers": self.servers, "namespace": self.namespace},
            {"AWS_ENDPOINT_URL_SESV2": self.ses.address},
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "deploy.command",
            *arguments,
            cwd=ROOT,
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(_COMMAND_SECONDS):
            output, _ = await process.communicate()
        if process.returncode != 0:
            raise ChaosFailed(f"pause-notifications {' '.join(arguments)} ended with {process.returncode}: {output!r}")
        return output.decode()


@dataclass
class Facade:
    """A facade and its address."""

    process: Process
    address: str


class Ses:
    """The local SES of a scenario, in its own process, and its log."""

    def __init__(self, program: Program, address: str, log: Path, client: httpx.AsyncClient) -> None:
        self.program = program
        self.address = address
        self.log = log
        self._client = client

    async def set(self, **faults: object) -> None:
        """Set these faults; others stay as they are."""
        (await self._client.patch("/admin/faults", json=faults)).raise_for_status()

    async def stats(self) -> dict[str, Any]:
        """Return its counters."""
        answer = (await self._client.get("/admin/stats")).raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def fates(self) -> dict[str, Fate]:
        """Return what it says of each e-mail that it has accepted."""
        found: dict[str, Fate] = {}
        while True:
            asked = {"limit": _MOST_MAILS, "offset": len(found)}
            mails = (await self._client.get("/admin/mails", params=asked)).raise_for_status().json()["mails"]
            found |= {mail["message_id"]: await self._fate(mail["message_id"]) for mail in mails}
            if len(mails) < _MOST_MAILS:
                return found

    async def _fate(self, message_id: str) -> Fate:
        mail = (await self._client.get(f"/admin/mails/{message_id}")).raise_for_status().json()
        kinds = frozenset({"send", *(report["kind"] for report in mail["reports"])})
        return Fate(message_id, mail["state"], kinds)


@asynccontextmanager
async def world(
    shared: SharedCluster,
    namespace: str,
    seed: int,
    evidence: Evidence,
    *,
    full: bool,
    peer: Peer | None = None,
    ses_ms: float = 30,
    leave_topics: bool = False,
    feedback: bool = False,
) -> AsyncIterator[World]:
    """
    Yield the world of a scenario and clear it away; everything seen of it goes into *evidence*.

    With *feedback*, SES reports what becomes of its e-mails, and replicas take that in.

    If brokers are killed, its topics stay. After a topic is deleted whose replicas were out of sync, Kafka 4.1's
    controller may register no broker again ("existed in isrMembers, but not in the topics map").
    """
    directory = shared.directory / namespace
    directory.mkdir(parents=True)
    async with AsyncExitStack() as stack:
        queue = await shared.sqs.queue(namespace) if feedback else None
        ses = await _start_ses(directory, stack, queue)
        await ses.set(latency_ms=ses_ms, max_24_hour_send=-1)
        group = "pause-notifications" if peer is None else "peers"
        watcher = Watcher(shared.cluster.bootstrap_servers, namespace, ses.log, evidence, group=group)
        made = World(shared, namespace, random.Random(seed), evidence, ses, watcher, full, stack, peer, queue)
        replication = str(min(len(shared.cluster.brokers), 3))
        if not leave_topics:
            stack.push_async_callback(_delete_topics, made)
        await made.command("topics", "create", "--partitions", str(PARTITIONS), "--replication-factor", replication)
        await stack.enter_async_context(watcher.watch())
        yield made


async def _delete_topics(stage: World) -> None:
    """Delete the topics, so that they do not slow the brokers down later; a failure only costs time."""
    try:
        async with asyncio.timeout(_COMMAND_SECONDS), connected_admin({"bootstrap_servers": stage.servers}) as admin:
            await admin.delete_topics(list(Topics(stage.namespace).all))
    except UNAVAILABLE as error:
        stage.shared.tell(f"{stage.namespace}: topics are left behind: {error!r}")


async def _start_ses(directory: Path, stack: AsyncExitStack, queue: Queue | None) -> Ses:
    (port,) = free_ports(1)
    log = directory / "ses.jsonl"
    log.touch()
    arguments = ["deploy.local.ses", "--port", str(port), "--log", str(log)]
    arguments += ["--keep", "100"] if queue is None else ["--keep", str(_KEPT_TO_JUDGE), "--events-queue", queue.url]
    address = f"http://{HOST}:{port}"
    program = start_program(
        "ses",
        [*arguments, "--max-send-rate", "100000"],
        logs=directory,
        cwd=ROOT,
        environ=processes.environment({}, {}),
        probe=f"{address}/livez",
    )
    stack.push_async_callback(program.stop, within=3)
    await program.ready(within=30)
    client = await stack.enter_async_context(httpx.AsyncClient(base_url=address, trust_env=False, timeout=10))
    return Ses(program, address, log, client)
