"""A `make run` with a Kafka that can be killed, somebody who calls, and a Prometheus that watches."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import re
import shlex
import shutil
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from deploy.local.addresses import Ports
from deploy.local.child import Child
from deploy.local.environments import programs_environ
from deploy.local.kafka.cluster import Broker, embedded_kafka
from deploy.local.kafka.errors import PortTaken
from deploy.local.ports import HOST, check_free
from deploy.monitoring.model import FACADE_JOB, REPLICA_JOB, Site
from runtime.settings import PREFIX, env_name
from schemas.events import EVENTS_BY_NAME
from tests.alerts import prometheus
from tests.stage import mentor

ROOT = Path(__file__).parents[2]
REPLICAS = 2
NAMESPACE = "drill"
SOURCE = "/drills/caller"

_BASES = range(12_000, 17_900, 10)
KAFKA_SECONDS = 180.0
"""For the broker to start, on a busy machine."""
_READY_SECONDS = 240.0
_STARTS = 3
_CALL_EVERY_SECONDS = 0.3
_CALL_SECONDS = 8.0
_COMMAND_SECONDS = 120.0
_POLL_SECONDS = 0.2
_PATH = "/api/v1/pause-notifications/pause-activated"
_STARTED = re.compile(r"(replica-\d)(?: ended .* restarted as pid | )(\d+)")


class DrillFailed(Exception):
    """The drill cannot go on; the message says why."""


async def until(condition: Callable[[], Any], *, within: float, what: str, every: float = _POLL_SECONDS) -> float:
    """Wait until *condition* holds, or its awaitable does; return how long that took. Raise DrillFailed."""
    began = time.monotonic()
    while time.monotonic() - began < within:
        held = condition()
        if await held if asyncio.iscoroutine(held) else held:
            return time.monotonic() - began
        await asyncio.sleep(every)
    raise DrillFailed(f"waited {within:g} s in vain for {what}")


class Caller:
    """Somebody who calls the facade again and again, and remembers the answers."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.accepted: set[str] = set()
        """The dispatches of the calls that got 200 or 202."""
        self.statuses: Counter[str] = Counter()
        """Answers by status, or by the error if there was none."""

    async def call_forever(self) -> None:
        """Call at a steady pace, however long the answers take, until cancelled."""
        client = httpx.AsyncClient(base_url=self._address, trust_env=False, timeout=_CALL_SECONDS)
        async with client as http, asyncio.TaskGroup() as calls:
            for number in itertools.count():
                calls.create_task(self._call(http, mentor(number)))
                await asyncio.sleep(_CALL_EVERY_SECONDS)

    async def _call(self, http: httpx.AsyncClient, mentor_id: str) -> None:
        kind = EVENTS_BY_NAME["pause-activated"]
        body = {**kind.example, "mentor_id": mentor_id}
        try:
            answer = await http.post(_PATH, json=body, headers={"Idempotency-Key": str(uuid.uuid4())})
        except httpx.HTTPError as error:
            self.statuses[type(error).__name__] += 1
            return
        self.statuses[str(answer.status_code)] += 1
        if answer.is_success:
            self.accepted.add(answer.headers["Dispatch-Id"])


class Running:
    """Everything that runs, and what an operator can do to it."""

    def __init__(self, folder: Path, ports: Ports, broker: Broker, watching: prometheus.Prometheus | None) -> None:
        self.folder = folder
        self.ports = ports
        self.broker = broker
        self.watching = watching
        """None if Prometheus is not installed."""
        self.caller = Caller(f"http://{HOST}:{ports.http}")
        self.replicas = [f"http://{HOST}:{ports.management + number}" for number in range(1, REPLICAS + 1)]
        clean = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "AWS_"))}
        servers = broker.address
        self.environ = {
            **programs_environ(clean, servers=servers, ses_port=ports.ses, sqs_port=ports.sqs, own_kafka=False),
            env_name("signing_keys_file"): str(folder / "signing-keys"),
        }
        self._make_run: Child | None = None

    @property
    def log(self) -> Path:
        """What `make run` prints."""
        return self.folder / "make-run.log"

    def start(self) -> None:
        """Start `make run`; it finds our broker by its setting."""
        arguments = ["local", "--data", str(self.folder), "--replicas", str(REPLICAS)]
        for name in ("http", "management", "ses", "sqs"):
            arguments += [f"--{name}-port", str(getattr(self.ports, name))]
        environ = {**self.environ, env_name("signing_keys_file"): ""}  # it makes one
        command = [sys.executable, "-m", "deploy.command", *arguments]
        self._make_run = Child(command, log=self.log, cwd=ROOT, environ=environ)

    async def ready(self) -> None:
        """Wait until all of it is ready; raise DrillFailed. A start that a busy machine lets fail is repeated."""
        starts = 1

        def said() -> bool:
            nonlocal starts
            if self._make_run is not None and not self._make_run.running and starts < _STARTS:
                self.start()
                starts += 1
            self.check()
            return "Ready after" in self.log.read_text()

        await until(said, within=_READY_SECONDS, what="`make run` to be ready")

    def check(self) -> None:
        """Raise DrillFailed if `make run` has ended."""
        if self._make_run is None or not self._make_run.running:
            raise DrillFailed(f"`make run` has ended: {self.log.read_text()[-2000:]}")

    async def stop(self) -> None:
        """Stop it as Ctrl-C does."""
        if self._make_run is not None:
            await self._make_run.stop(within=15)

    def pid(self, replica: str) -> int:
        """Return the process id that `make run` printed last for a replica."""
        found = [int(pid) for name, pid in _STARTED.findall(self.log.read_text()) if name == replica]
        if not found:
            raise DrillFailed(f"`make run` has printed no pid of {replica}")
        return found[-1]

    async def command(self, *arguments: str) -> tuple[int, str]:
        """Run the operator's command; return its exit code and what it prints."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "deploy.command",
            *arguments,
            cwd=ROOT,
            env=self.environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(_COMMAND_SECONDS):
                printed, _ = await process.communicate()
        except TimeoutError:
            raise DrillFailed(f"{shown(arguments)} took longer than {_COMMAND_SECONDS:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
        return process.returncode or 0, printed.decode(errors="replace")

    async def doctor(self) -> list[dict[str, str]]:
        """Return the findings of `doctor`, which asks the replicas at their addresses."""
        asked = [word for url in self.replicas for word in ("--replica", url)]
        _, printed = await self.command("doctor", "--json", *asked)
        return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]

    async def faults(self, **faults: object) -> None:
        """Change faults of the local SES."""
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.patch(f"http://{HOST}:{self.ports.ses}/admin/faults", json=faults)
        answer.raise_for_status()

    def mails(self) -> Counter[tuple[str, str]]:
        """Count the e-mails that SES took, by dispatch and recipient."""
        lines = (self.folder / "mails.jsonl").read_text().splitlines()
        tags = [json.loads(line)["tags"] for line in lines if line.endswith("}")]
        return Counter((tag["dispatch_id"], tag["recipient"]) for tag in tags if "dispatch_id" in tag)

    def unsent(self) -> set[str]:
        """Return the accepted calls of which no e-mail has left."""
        return self.caller.accepted - {dispatch_id for dispatch_id, _ in self.mails()}

    def scrape(self, pod: str, port: int, job: str = REPLICA_JOB) -> None:
        """Let Prometheus watch one more program."""
        if self.watching is not None:
            labels = {"job": job, "pod": pod, "instance": pod, "namespace": NAMESPACE}
            self.watching.scrape(f"{HOST}:{port}", **labels)

    async def firing(self) -> set[str]:
        """Return the names and severities of the alerts that fire."""
        assert self.watching is not None
        return {f"{one['alertname']} {one['severity']}" for one in await self.watching.firing(NAMESPACE)}

    async def measure(self, expr: str) -> str:
        """Return the values of an expression as Prometheus has them now, with their labels."""
        if self.watching is None:
            return "-"
        found = await self.watching.value(expr)
        shown = sorted(f"{_labels(one['metric'])}{float(one['value'][1]):g}" for one in found)
        return ", ".join(shown) or "no series"


def _labels(metric: dict[str, str]) -> str:
    text = ", ".join(f"{name}={value}" for name, value in sorted(metric.items()) if name != "__name__")
    return f"{text}: " if text else ""


def shown(arguments: Sequence[str]) -> str:
    """Return a command line of our command as one types it."""
    return f"pause-notifications {shlex.join(arguments)}"


def _ports() -> Ports:
    """Return free ports that follow each other, with one to spare for a further replica."""
    for base in random.SystemRandom().sample(_BASES, len(_BASES)):
        with suppress(PortTaken):
            for port in range(base, base + 10):
                check_free(port)
            return Ports.starting_at(base)
    raise DrillFailed("there are no ten free ports in a row")


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Running]:
    """Run everything until the context ends, with a call every few moments."""
    ports = _ports()
    async with AsyncExitStack() as undo:
        cluster = await undo.enter_async_context(
            embedded_kafka(folder / "kafka", port=ports.kafka, start_seconds=KAFKA_SECONDS)
        )
        watching = None
        if shutil.which("prometheus") is not None:
            (folder / "prometheus").mkdir()
            address = undo.enter_context(prometheus.running(folder / "prometheus", Site()))
            watching = prometheus.Prometheus(address, folder / "prometheus")
        opened = Running(folder, ports, cluster.brokers[0], watching)
        opened.start()
        undo.push_async_callback(opened.stop)
        await opened.ready()
        opened.scrape("facade", ports.management, FACADE_JOB)
        for number in range(1, REPLICAS + 1):
            opened.scrape(f"replica-{number}", ports.management + number)
        calling = asyncio.create_task(opened.caller.call_forever())
        undo.push_async_callback(_end, calling)
        yield opened


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
