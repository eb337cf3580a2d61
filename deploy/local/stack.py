"""
Everything on this machine, started in order and stopped in reverse: Kafka, SES, contacts, facade, replicas.

Each undo stands beside its do. Ctrl-C and SIGTERM cancel the one task that all of it runs in; the children are
sessions of their own, so that Ctrl-C does not reach them before their turn, and end with this process however it ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import shutil
import signal
import sys
import time
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError

from deploy.command.connections import reader, topics_of
from deploy.command.contacts import publish_contacts
from deploy.command.running import CommandFailed, explain
from deploy.command.topics import create_and_check
from deploy.local.broker_errors import BrokerError, PortTaken
from deploy.local.brokers import Broker, embedded_kafka
from deploy.local.environments import programs_environ
from deploy.local.ports import HOST, check_free
from deploy.local.programs import Program, StackFailed, start_program
from deploy.local.reporting import OutputGone, Report
from runtime.environment import InvalidSettings, read_settings
from runtime.kafka.publisher import PublishError
from runtime.kafka.topics import UnfitTopics
from runtime.settings import CommandSettings, env_name
from schemas.contacts import read_contacts
from schemas.events import EVENTS_BY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".local"
SAMPLE_CONTACTS = Path(__file__).with_name("contacts.jsonl")

_EXIT_FAILED = 1
_EXIT_SETTINGS = 2
_READY_SECONDS = 45.0
_WATCH_EVERY_SECONDS = 0.2
# Together with Kafka's five seconds no more than ten: what a person waits for after Ctrl-C.
_STOP_REPLICA_SECONDS = 3.0
_STOP_FACADE_SECONDS = 1.0
_STOP_SES_SECONDS = 1.0


@dataclass(frozen=True)
class Ports:
    """Where everything listens; the replicas' management ports follow the facade's."""

    http: int = 8000
    management: int = 8001
    ses: int = 8025
    kafka: int = 9092


def run_stack(ports: Ports, *, replicas: int, fresh: bool, environ: Mapping[str, str] = os.environ) -> int:
    """Run everything until Ctrl-C; give the exit code."""
    report = Report()
    stack = Stack(ports, replicas=replicas, fresh=fresh, environ=environ, report=report)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)  # what a person needs to know is in our own lines
    try:
        asyncio.run(_until_stopped(stack, report))
    except OutputGone:
        return _EXIT_FAILED
    except InvalidSettings as error:
        report.plain(str(error))
        return _EXIT_SETTINGS
    except (BrokerError, StackFailed, CommandFailed, UnfitTopics, PublishError, KafkaError, OSError) as error:
        report.plain(f"\nError: {explain(error, stack.settings)}")
        return _EXIT_FAILED
    return 0


async def _until_stopped(stack: Stack, report: Report) -> None:
    running = asyncio.create_task(stack.run(), name="stack")
    with _stop_signals(running, report):
        await asyncio.wait([running])
    if not running.cancelled():
        running.result()
    report.line("Everything is stopped.")


@contextmanager
def _stop_signals(running: asyncio.Task[None], report: Report) -> Iterator[None]:
    """Cancel *running* at the first signal; the end has its deadlines, so that further ones change nothing."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop() -> None:
        if running.cancelling() == 0:
            report.line("\nStopping: replicas, facade, SES, Kafka ...")
            running.cancel()

    for number in signals:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


class Stack:
    """The whole service on this machine."""

    def __init__(self, ports: Ports, *, replicas: int, fresh: bool, environ: Mapping[str, str], report: Report) -> None:
        self._ports = ports
        self._replicas = replicas
        self._fresh = fresh
        self._environ = environ
        self._report = report
        self._brokers: tuple[Broker, ...] = ()
        self._programs: list[Program] = []
        given = environ.get(env_name("kafka_bootstrap_servers"))
        self._own_kafka = not given
        servers = given or f"{HOST}:{ports.kafka}"
        self._child_environ = programs_environ(environ, servers=servers, ses_port=ports.ses, own_kafka=self._own_kafka)

    @property
    def settings(self) -> CommandSettings:
        """The settings for our own clients; raises InvalidSettings."""
        return read_settings(CommandSettings, self._child_environ)

    async def run(self) -> None:
        """Start everything, say where it is, and watch over it until cancelled; raises what run_stack explains."""
        began = time.monotonic()
        settings = self.settings
        with self._report.step("Checking ports"):
            self._check_ports()
        logs = STATE / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        async with AsyncExitStack() as undo:
            await self._start_kafka(undo)
            await self._prepare_topics(settings)
            await self._start_programs(undo, logs)
            self._report.line(f"\nReady after {time.monotonic() - began:.1f} s.")
            self._report.plain(self._addresses(settings))
            while True:
                self._watch()
                await asyncio.sleep(_WATCH_EVERY_SECONDS)

    def _check_ports(self) -> None:
        ports = self._ports
        wanted = [(ports.http, "--http-port"), (ports.ses, "--ses-port")]
        wanted += [(ports.management + n, "--management-port") for n in range(self._replicas + 1)]
        wanted += [(ports.kafka, "--kafka-port")] if self._own_kafka else []
        if len({port for port, _ in wanted}) < len(wanted):
            raise StackFailed("two of the ports are the same: " + ", ".join(f"{port} ({way})" for port, way in wanted))
        taken = []
        for port, way_out in wanted:
            try:
                check_free(port)
            except PortTaken as error:
                taken.append(f"{error}: {way_out}")
        if taken:
            raise StackFailed("\n  ".join(["cannot listen", *taken]))

    async def _start_kafka(self, undo: AsyncExitStack) -> None:
        if not self._own_kafka:
            self._report.line(f"Using the Kafka at {self.settings.kafka_bootstrap_servers}")
            return
        with self._report.step("Starting Kafka") as detail:
            kafka = embedded_kafka(STATE / "kafka", port=self._ports.kafka, fresh=self._fresh, on_progress=detail)
            cluster = await undo.enter_async_context(kafka)
            self._brokers = cluster.brokers

    async def _prepare_topics(self, settings: CommandSettings) -> None:
        with self._report.step("Creating topics") as detail:
            detail((await create_and_check(settings))[-1])
        with self._report.step("Loading sample contacts") as detail:
            if await _contacts_present(settings):
                detail("there are contacts already, which are kept")
                return
            contacts = list(read_contacts(SAMPLE_CONTACTS.read_text(encoding="utf-8").splitlines()))
            await publish_contacts(settings, contacts)
            detail(f"{len(contacts)} contacts")

    async def _start_programs(self, undo: AsyncExitStack, logs: Path) -> None:
        if self._fresh:
            (STATE / "mails.jsonl").unlink(missing_ok=True)
        with self._report.step("Starting SES, facade and replica"):
            for program, stop_seconds in self._launch(logs):
                undo.push_async_callback(program.stop, within=stop_seconds)
                self._programs.append(program)
        for program in self._programs:
            with self._report.step(f"Waiting for {program.name}"):
                await program.ready(within=_READY_SECONDS)

    def _launch(self, logs: Path) -> Iterator[tuple[Program, float]]:
        """Start the programs one by one, each with the seconds that its stop may take."""
        ports = self._ports
        mails = str(STATE / "mails.jsonl")
        arguments = ["deploy.local.ses", "--port", str(ports.ses), "--log", mails]
        yield self._program("ses", arguments, logs, f"http://{HOST}:{ports.ses}/livez", {}), _STOP_SES_SECONDS
        yield self._service("facade", "service", ports.management, logs), _STOP_FACADE_SECONDS
        for number in range(1, self._replicas + 1):
            name = "replica" if self._replicas == 1 else f"replica-{number}"
            yield self._service(name, "consumers", ports.management + number, logs), _STOP_REPLICA_SECONDS

    def _service(self, name: str, module: str, management_port: int, logs: Path) -> Program:
        ports = {"management_port": management_port, "http_port": self._ports.http}
        extra = {env_name(field): str(port) for field, port in ports.items()}
        probe = f"http://{HOST}:{management_port}/readyz"
        return self._program(name, [module], logs, probe, extra)

    def _program(self, name: str, arguments: list[str], logs: Path, probe: str, extra: Mapping[str, str]) -> Program:
        environ = {**self._child_environ, **extra}
        return start_program(name, arguments, logs=logs, cwd=ROOT, environ=environ, probe=probe)

    def _watch(self) -> None:
        for broker in self._brokers:
            if broker.pid is None:
                raise StackFailed(f"Kafka has ended; its log is {broker.log}")
        for program in self._programs:
            if program.restarted():
                self._report.line(f"{program.name} had ended and was started again; its log is {program.log}")

    def _addresses(self, settings: CommandSettings) -> str:
        ports = self._ports
        return addresses(ports, settings, replicas=self._replicas, own_kafka=self._own_kafka)


async def _contacts_present(settings: CommandSettings) -> bool:
    async with reader(settings) as reading:
        places = await reading.partitions(topics_of(settings).contacts)
        return any((await reading.end_offsets(places)).values())


def addresses(ports: Ports, settings: CommandSettings, *, replicas: int, own_kafka: bool) -> str:
    """Say where everything is, and how to try it."""
    facade = f"http://{HOST}:{ports.http}"
    event = EVENTS_BY_NAME["pause-lifted"]
    body = '{"mentor_id":"mentor-042"}'
    example = EVENTS_BY_NAME["pause-activated"]
    data = example.model.model_validate(example.example).model_dump_json()
    metrics = " ".join(f"http://{HOST}:{ports.management + n}/metrics" for n in range(replicas + 1))
    found = shutil.which("pause-notifications")
    command = "pause-notifications" if found else str(Path(sys.argv[0]))
    if not (own_kafka and ports.kafka == Ports().kafka):
        command = f"{env_name('kafka_bootstrap_servers')}={settings.kafka_bootstrap_servers} {command}"
    headers = {
        "ce_specversion": "1.0",
        "ce_id": "demo-1",
        "ce_source": "/demo",
        "ce_type": event.type,
        "content-type": "application/json",
    }
    kcat = " ".join(f"-H {name}={value}" for name, value in headers.items())
    return f"""
  REST        {facade}   (documentation: {facade}/docs)
  mailbox     http://{HOST}:{ports.ses}
  metrics     {metrics}
  Kafka       {settings.kafka_bootstrap_servers}
  logs, data  {STATE}

Try it:

  curl -i {facade}/api/v1/pause-notifications/{example.name} -H 'Content-Type: application/json' \\
    -d {shlex.quote(data)}

Or past REST, straight into Kafka:

  {command} events publish {event.name} --mentor mentor-042

  echo {shlex.quote(body)} | kcat -P -b {settings.kafka_bootstrap_servers} \\
    -t {topics_of(settings).named(event.topic)} -k mentor-042 -X partitioner=murmur2_random \\
    {kcat}

Ctrl-C stops everything.
"""
