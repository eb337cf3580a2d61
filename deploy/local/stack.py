"""
Run everything on this machine: start SQS, Kafka, SES, replicas and facade in order, and stop them in reverse.

Ctrl-C and SIGTERM cancel the one task that all of it runs in. The children run in sessions of their own: Ctrl-C does
not reach them before their turn, and they end with this process, whatever ends it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError

from deploy.local.addresses import STATE, Ports, addresses
from deploy.local.environments import programs_environ
from deploy.local.kafka.cluster import Broker, embedded_kafka
from deploy.local.kafka.errors import BrokerError
from deploy.local.port_check import check_ports
from deploy.local.ports import HOST
from deploy.local.programs import Program, StackFailed, start_program
from deploy.local.reporting import OutputGone, Report
from deploy.local.sqs.names import endpoint, queue_url
from deploy.support.connections import reader, topics_of
from deploy.support.contact_loading import LoadingProgress, publish_contacts
from deploy.support.running import CommandFailed, explain
from deploy.support.signing_key_file import add_key
from deploy.support.topic_creation import create_and_check
from runtime.environment import InvalidSettings, read_settings
from runtime.kafka.publisher import PublishError
from runtime.kafka.topics import UnfitTopics
from runtime.settings import CommandSettings, ReplicaSettings, ServiceSettings, env_name
from runtime.signing_keys import read_signing_keys
from schemas.contacts import read_contacts
from schemas.signatures import InvalidSigningKeys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runtime.settings import Settings

ROOT = Path(__file__).parents[2]
SAMPLE_CONTACTS = Path(__file__).with_name("contacts.jsonl")

_EXIT_FAILED = 1
_EXIT_SETTINGS = 2
_READY_SECONDS = 45.0
_WATCH_EVERY_SECONDS = 0.2
# Together with Kafka's five seconds at most ten, since a person waits for it after Ctrl-C. The facade stops first,
# while replicas still work: waiting callers get their outcome while it drains, or else a 202, before SIGKILL.
_FACADE_DRAIN_SECONDS = 1
_STOP_FACADE_SECONDS = 2.5
_STOP_REPLICAS_SECONDS = 1.9
_STOP_SES_SECONDS = 0.4
_KEPT_MAILS = "5000"  # read within half a second at the start
_STOP_SQS_SECONDS = 0.05  # it keeps nothing, and ends at once


def run_stack(
    ports: Ports, *, replicas: int, fresh: bool, state: Path = STATE, environ: Mapping[str, str] = os.environ
) -> int:
    """Run everything until Ctrl-C and return the exit code."""
    report = Report()
    stack = Stack(ports, replicas=replicas, fresh=fresh, environ=environ, report=report, state=state)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)  # our own lines have the cause
    try:
        asyncio.run(_until_stopped(stack, report))
    except OutputGone:
        return _EXIT_FAILED
    except InvalidSettings as error:
        report.plain(str(error))
        return _EXIT_SETTINGS
    except InvalidSigningKeys as error:
        report.plain(f"{state / 'signing-keys'}: {error}")
        return _EXIT_SETTINGS
    except (BrokerError, StackFailed, CommandFailed, UnfitTopics, PublishError, KafkaError, OSError) as error:
        report.plain(f"\nError: {asyncio.run(explain(error, stack.settings))}")
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
    """Cancel *running* at the first signal; ignore further ones, since every stop has a deadline."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop() -> None:
        if running.cancelling() == 0:
            report.line("\nStopping: facade, replicas, SES, Kafka, SQS ...")
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

    def __init__(
        self,
        ports: Ports,
        *,
        replicas: int,
        fresh: bool,
        environ: Mapping[str, str],
        report: Report,
        state: Path = STATE,
    ) -> None:
        self._ports = ports
        self._state = state
        self._replicas = replicas
        self._fresh = fresh
        self._environ = environ
        self._report = report
        self._brokers: tuple[Broker, ...] = ()
        self._programs: list[Program] = []
        given = environ.get(env_name("kafka_bootstrap_servers"))
        self._own_kafka = not given
        servers = given or f"{HOST}:{ports.kafka}"
        self._child_environ = programs_environ(
            environ, servers=servers, ses_port=ports.ses, sqs_port=ports.sqs, own_kafka=self._own_kafka
        )

    @property
    def settings(self) -> CommandSettings:
        """The settings of our own clients; raises InvalidSettings."""
        return read_settings(CommandSettings, self._child_environ)

    async def run(self) -> None:
        """Start everything, print the addresses, and restart what ends, until cancelled."""
        began = time.monotonic()
        self._check_settings()
        with self._report.step("Checking ports"):
            check_ports(self._ports, replicas=self._replicas, own_kafka=self._own_kafka)
        logs = self._state / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self._create_signing_keys()
        settings = self.settings
        async with AsyncExitStack() as undo:
            self._start_sqs(undo, logs)
            await self._start_kafka(undo)
            await self._prepare_topics(settings)
            await self._start_programs(undo, logs)
            self._report.line(f"\nReady after {time.monotonic() - began:.1f} s.")
            self._report.plain(self._addresses(settings))
            while True:
                self._watch()
                await asyncio.sleep(_WATCH_EVERY_SECONDS)

    def _check_settings(self) -> None:
        """Check the settings of all programs before anything is started."""
        environs: list[tuple[type[Settings], Mapping[str, str]]] = [
            (ServiceSettings, self._service_environ("service", self._ports.management)),
            (ReplicaSettings, self._service_environ("consumers", self._ports.management + 1)),
        ]
        problems: dict[str, None] = {}
        for settings_class, environ in environs:
            try:
                read_signing_keys(read_settings(settings_class, environ))
            except InvalidSettings as error:
                problems.update(dict.fromkeys(error.problems))
        if problems:
            raise InvalidSettings(tuple(problems))

    def _create_signing_keys(self) -> None:
        """Create a signing key for the programs, unless the environment sets one."""
        name = env_name("signing_keys_file")
        if not self._child_environ.get(name):
            file = self._state / "signing-keys"
            add_key(file, if_none=True)
            self._child_environ[name] = str(file)

    def _start_sqs(self, undo: AsyncExitStack, logs: Path) -> None:
        """Start it beside Kafka, which takes longer; the queue must exist before a replica asks for it."""
        arguments = ["deploy.local.sqs", "--port", str(self._ports.sqs)]
        probe = f"{endpoint(self._ports.sqs)}/livez"
        sqs = start_program("sqs", arguments, logs=logs, cwd=ROOT, environ=self._child_environ, probe=probe)
        undo.push_async_callback(sqs.stop, within=_STOP_SQS_SECONDS)
        self._programs.append(sqs)

    async def _start_kafka(self, undo: AsyncExitStack) -> None:
        if not self._own_kafka:
            servers, name = self.settings.kafka_bootstrap_servers, env_name("kafka_bootstrap_servers")
            self._report.line(f"Using the Kafka at {servers}; unset {name} to start one here")
            return
        with self._report.step("Starting Kafka") as detail:
            kafka = embedded_kafka(self._state / "kafka", port=self._ports.kafka, fresh=self._fresh, on_progress=detail)
            cluster = await undo.enter_async_context(kafka)
            self._brokers = cluster.brokers

    async def _prepare_topics(self, settings: CommandSettings) -> None:
        with self._report.step("Creating topics") as detail:
            detail((await create_and_check(settings))[-1])
        with self._report.step("Loading sample contacts") as detail:
            if await _contacts_present(settings):
                detail("the topic has contacts already; none are loaded")
                return
            contacts = list(read_contacts(SAMPLE_CONTACTS.read_text(encoding="utf-8").splitlines()))
            await publish_contacts(settings, contacts, LoadingProgress(len(contacts)))
            detail(f"{len(contacts)} contacts")

    async def _start_programs(self, undo: AsyncExitStack, logs: Path) -> None:
        if self._fresh:
            _delete_mails(self._state)
        await self._wait_for(self._programs)
        before = len(self._programs)
        with self._report.step("Starting SES, replica and facade"):
            for launching, stop_seconds in self.launches(logs):
                together: list[Program] = []
                undo.push_async_callback(_stop_together, together, within=stop_seconds)
                for program in launching:
                    together.append(program)
                    self._programs.append(program)
        await self._wait_for(self._programs[before:])

    async def _wait_for(self, programs: Sequence[Program]) -> None:
        for program in programs:
            with self._report.step(f"Waiting for {program.name}"):
                await program.ready(within=_READY_SECONDS)

    def launches(self, logs: Path) -> Iterator[tuple[Iterable[Program], float]]:
        """Yield the groups of programs in starting order, each with the seconds that stopping it may take."""
        yield self._launch_ses(logs), _STOP_SES_SECONDS
        yield self._launch_replicas(logs), _STOP_REPLICAS_SECONDS
        yield self._launch_facade(logs), _STOP_FACADE_SECONDS

    def _launch_ses(self, logs: Path) -> Iterator[Program]:
        port = self._ports.ses
        arguments = ["deploy.local.ses", "--port", str(port), "--log", str(self._state / "mails.jsonl")]
        arguments += ["--mails", str(self._state / "mails.sqlite3"), "--keep", _KEPT_MAILS]
        arguments += ["--contacts", str(SAMPLE_CONTACTS)]
        arguments += ["--facade", f"http://{HOST}:{self._ports.http}", "--events-queue", queue_url(self._ports.sqs)]
        probe = f"http://{HOST}:{port}/livez"
        yield start_program("ses", arguments, logs=logs, cwd=ROOT, environ=self._child_environ, probe=probe)

    def _launch_replicas(self, logs: Path) -> Iterator[Program]:
        for number in range(1, self._replicas + 1):
            name = "replica" if self._replicas == 1 else f"replica-{number}"
            yield self._service(name, "consumers", self._ports.management + number, logs)

    def _launch_facade(self, logs: Path) -> Iterator[Program]:
        yield self._service("facade", "service", self._ports.management, logs)

    def _service(self, name: str, module: str, management_port: int, logs: Path) -> Program:
        environ = self._service_environ(module, management_port)
        probe = f"http://{HOST}:{management_port}/readyz"
        return start_program(name, [module], logs=logs, cwd=ROOT, environ=environ, probe=probe)

    def _service_environ(self, module: str, management_port: int) -> dict[str, str]:
        extra = {"management_port": management_port, "http_port": self._ports.http}
        if module == "service":
            extra["drain_seconds"] = _FACADE_DRAIN_SECONDS
        return {**self._child_environ, **{env_name(field): str(value) for field, value in extra.items()}}

    def _watch(self) -> None:
        for broker in self._brokers:
            if broker.pid is None:
                raise StackFailed(f"Kafka has ended; see its log: {broker.log}")
        for program in self._programs:
            end = program.restart_if_ended()
            if end is not None:
                what = f"{program.name} ended ({end}) and was restarted as pid {program.child.pid}"
                self._report.line(f"{what}; see its log: {program.log}")

    def _addresses(self, settings: CommandSettings) -> str:
        ports = self._ports
        brokers = {"Kafka": broker.pid for broker in self._brokers if broker.pid is not None}  # noqa: B035 - there is at most one
        pids = brokers | {program.name: program.child.pid for program in self._programs}
        return addresses(
            ports,
            settings,
            replicas=self._replicas,
            own_kafka=self._own_kafka,
            environ=self._child_environ,
            pids=pids,
            state=self._state,
        )


def _delete_mails(state: Path) -> None:
    """Delete the log of mails, and the mailbox with the files that SQLite has beside it."""
    for file in state.glob("mails.*"):
        file.unlink()


async def _stop_together(programs: Sequence[Program], *, within: float) -> None:
    await asyncio.gather(*(program.stop(within=within) for program in programs))


async def _contacts_present(settings: CommandSettings) -> bool:
    async with reader(settings, of=[topics_of(settings).contacts]) as reading:
        places = await reading.partitions(topics_of(settings).contacts)
        return any((await reading.end_offsets(places)).values())
