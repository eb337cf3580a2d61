"""A network of containers: Kafka, the local SES with its queue, and programs of our image, each without any right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from docker import DockerClient  # it ships no types
from docker.models.containers import Container  # likewise
from testcontainers.core.container import DockerContainer  # likewise
from testcontainers.core.network import Network as DockerNetwork  # likewise

from deploy.local.ports import HOST
from deploy.local.sqs.names import CONFIGURATION_SET, queue_url
from runtime.settings import ReplicaSettings, ServiceSettings, env_name
from tests import kafka_container
from tests.containers.images import Images
from tests.processes import AWS
from tests.signing import keys_file
from tests.stage import PARTITIONS, SAMPLE_CONTACTS
from tests.waiting import until

HARDENED: Mapping[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
}
STOP_SECONDS = int(ReplicaSettings().drain_seconds) + 10
_START_SECONDS = 60.0
_SES_PORT = 8025
_SQS_PORT = 9324
_KEYS = "/keys/signing-keys"
_CONTACTS = "/contacts.jsonl"
_MOST_MAILS = 1_000


@dataclass(frozen=True)
class Program:
    """A program of ours in a container."""

    container: Container
    address: str
    """Of its management port."""

    async def ready(self) -> None:
        """Wait until it is ready; fail with its log if it ends, or takes too long."""
        await until(self._ready, within=_START_SECONDS, what="the program to be ready")

    async def _ready(self) -> bool:
        assert self.running, self.log
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                return (await client.get(f"{self.address}/readyz")).is_success
            except httpx.TransportError:
                return False

    @property
    def running(self) -> bool:
        """Return whether it has not ended."""
        self.container.reload()
        return bool(self.container.status == "running")

    @property
    def health(self) -> str:
        """Return what the image's health check says."""
        self.container.reload()
        return str(self.container.attrs["State"]["Health"]["Status"])

    @property
    def log(self) -> str:
        """Return all its output."""
        return str(self.container.logs().decode())

    def detail(self) -> dict[str, Any]:
        """Return the body of `/readyz`; raise httpx.HTTPError."""
        body: dict[str, Any] = httpx.get(f"{self.address}/readyz", trust_env=False).json()
        return body

    def stop(self) -> int:
        """Stop it as `docker stop` does, and return its exit code."""
        self.container.stop(timeout=STOP_SECONDS)
        return int(self.container.wait()["StatusCode"])


@dataclass
class Network:
    """What the tests know of the network."""

    engine: DockerClient
    images: Images
    docker: DockerNetwork
    kafka: str
    """Kafka's address for this process."""
    ses: httpx.Client
    programs: ExitStack = field(default_factory=ExitStack)

    def run(self, *command: str, tty: bool = False) -> str:
        """Run our command to its end, and return what it prints; raise docker.errors.ContainerError."""
        files = {keys_file(): _KEYS, SAMPLE_CONTACTS: _CONTACTS}
        printed = self.engine.containers.run(
            self.images.program,
            list(command),
            network=self.docker.name,
            environment=_environment(),
            volumes=[f"{path}:{within}:ro" for path, within in files.items()],
            labels=kafka_container.labels(),
            tty=tty,
            remove=True,
            **HARDENED,
        )
        return str(printed.decode())

    def replica(self, **settings: object) -> Program:
        """Start a replica with these settings, named as in `runtime.settings`."""
        environ = {
            **AWS,
            "AWS_ENDPOINT_URL_SESV2": f"http://ses:{_SES_PORT}",
            "AWS_ENDPOINT_URL_SQS": f"http://sqs:{_SQS_PORT}",
            env_name("ses_configuration_set"): CONFIGURATION_SET,
            **{env_name(name): str(value) for name, value in settings.items()},
        }
        return self._start("consumers", environ, ReplicaSettings().management_port)[0]

    def facade(self) -> tuple[Program, str]:
        """Start a facade; return it, and the address of its REST endpoints."""
        settings = ServiceSettings()
        program, container = self._start("service", {}, settings.management_port, settings.http_port)
        return program, _address(container, settings.http_port)

    def _start(self, program: str, environ: Mapping[str, str], *ports: int) -> tuple[Program, DockerContainer]:
        container = _ours(self.images.program, ["python", "-m", program], self.docker, *ports)
        container.with_envs(**_environment(), **environ).with_volume_mapping(keys_file(), _KEYS)
        self.programs.enter_context(container)
        return Program(container.get_wrapped_container(), _address(container, ports[0])), container

    def mails(self) -> Counter[tuple[str, str]]:
        """Count the e-mails that SES accepted, by dispatch and recipient."""
        answer = self.ses.get("/admin/mails", params={"limit": _MOST_MAILS}).raise_for_status().json()
        assert answer["total"] <= _MOST_MAILS
        return Counter((mail["tags"]["dispatch_id"], mail["tags"]["recipient"]) for mail in answer["mails"])

    def states(self, dispatch_id: str) -> list[str]:
        """Return what SES reports of the e-mails of a dispatch."""
        answer = self.ses.get("/admin/mails", params={"tag": f"dispatch_id:{dispatch_id}"}).raise_for_status().json()
        return [mail["state"] for mail in answer["mails"]]


@contextmanager
def open_network(engine: DockerClient, images: Images) -> Iterator[Network]:
    """Start Kafka, SES and SQS, create the topics and load the sample contacts; at the end remove everything."""
    kafka_container.prepare()
    with ExitStack() as undo:
        docker_network = undo.enter_context(DockerNetwork(docker_network_kw={"labels": kafka_container.labels()}))
        kafka = undo.enter_context(kafka_container.running(images.kafka, docker_network))
        undo.enter_context(_local(images, docker_network, "sqs", _SQS_PORT))
        queue = queue_url(_SQS_PORT).replace(HOST, "sqs")
        ses = undo.enter_context(_local(images, docker_network, "ses", _SES_PORT, "--events-queue", queue))
        client = undo.enter_context(httpx.Client(base_url=_address(ses, _SES_PORT), trust_env=False))
        network = Network(engine, images, docker_network, kafka, client)
        undo.enter_context(network.programs)
        network.run("pause-notifications", "topics", "create", "--partitions", str(PARTITIONS))
        network.run("pause-notifications", "contacts", "load", _CONTACTS)
        yield network


def _local(images: Images, network: DockerNetwork, name: str, port: int, *options: str) -> DockerContainer:
    command = ["python", "-m", f"deploy.local.{name}", "--host", "0.0.0.0", "--port", str(port), *options]
    return _ours(images.local, command, network, port).with_network_aliases(name)


def _ours(image: str, command: Sequence[str], network: DockerNetwork, *ports: int) -> DockerContainer:
    container = DockerContainer(image, network=network, ports=list(ports)).with_command(list(command))
    return container.with_kwargs(labels=kafka_container.labels(), **HARDENED)


def _environment() -> dict[str, str]:
    """Return what every program of ours is told."""
    return {
        env_name("kafka_bootstrap_servers"): kafka_container.WITHIN,
        env_name("signing_keys_file"): _KEYS,
        env_name("ses_events_queue_url"): queue_url(_SQS_PORT).replace(HOST, "sqs"),
    }


def _address(container: DockerContainer, port: int) -> str:
    host = container.get_container_host_ip().replace("localhost", HOST)
    return f"http://{host}:{container.get_exposed_port(port)}"
