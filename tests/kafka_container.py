"""Kafka in a container, with testcontainers: our own class, as theirs is for another image.

The advertised address must carry the port of the host, so that is chosen first.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import docker  # it ships no types
from docker.errors import DockerException, ImageNotFound  # likewise
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from deploy.local.kafka.cluster import GC_OPTIONS, HEAP_OPTIONS, QUICK_START
from deploy.local.kafka.errors import BrokerDidNotStart
from deploy.local.kafka.properties import common_properties
from deploy.local.kafka.readiness import until_ready
from deploy.local.ports import HOST, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from docker import DockerClient
    from testcontainers.core.network import Network

LABEL = "pause-notifications.test-run"  # its value says which machine and process runs the tests
_NAME = "kafka"
WITHIN = f"{_NAME}:9093"  # the broker's address for containers of its network, and for itself
_ASK_SECONDS = 5
_START_SECONDS = 60.0
_NODE = 1
_LOG_CHARACTERS = 3_000


def trouble(image: str) -> str | None:
    """Return why *image* cannot run here, or None if it can."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # docker forgets the socket that it could not connect
        found = _trouble(testcontainers_config.hub_image_name_prefix + image)
        gc.collect()
    return found


def _trouble(image: str) -> str | None:
    try:
        with _client() as client:
            client.ping()
            if not _has(client, image):
                return f"the Docker engine has no image {image}: pull it, or see tests/containers/README.md"
    except (DockerException, OSError) as error:
        return f"no Docker engine answers ({error})"
    return None


@contextmanager
def running(image: str, network: Network | None = None) -> Iterator[str]:
    """
    Run a broker and yield its address; raise `BrokerDidNotStart`. Remove the container in any case.

    Containers of *network* find it at `WITHIN`.
    """
    prepare()
    (port,) = free_ports(1)
    container = DockerContainer(image, network=network, network_aliases=[_NAME]).with_bind_ports(9092, port)
    host = container.get_docker_client().host().replace("localhost", HOST)
    container.with_envs(**environment(host, port)).with_kwargs(hostname=_NAME, labels=labels())
    with container:
        address = f"{host}:{port}"
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            answers = runner.run(until_ready(address, {_NODE}, within=_START_SECONDS))
        if not answers:
            log = b"".join(container.get_logs()).decode(errors="replace")[-_LOG_CHARACTERS:]
            raise BrokerDidNotStart(f"{image} did not answer at {address} within {_START_SECONDS:.0f} s:\n{log}")
        yield address


def environment(host: str, port: int) -> dict[str, str]:
    """Return the variables that the image's start script turns into server.properties, for clients at *host*:*port*."""
    properties = common_properties(1, patient=True) | {
        "node.id": str(_NODE),
        "process.roles": "broker,controller",
        "controller.quorum.voters": f"{_NODE}@localhost:9094",
        "controller.listener.names": "CONTROLLER",
        "listeners": "PLAINTEXT://:9092,INTERNAL://:9093,CONTROLLER://:9094",
        "advertised.listeners": f"PLAINTEXT://{host}:{port},INTERNAL://{WITHIN}",
        "inter.broker.listener.name": "INTERNAL",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": "/tmp/kafka-logs",  # noqa: S108 - within the container, and gone with it
    }
    return as_variables(properties) | {
        "KAFKA_HEAP_OPTS": " ".join(HEAP_OPTIONS),
        "KAFKA_JVM_PERFORMANCE_OPTS": " ".join((*QUICK_START, *GC_OPTIONS)),
    }


def as_variables(properties: Mapping[str, str]) -> dict[str, str]:
    """Return *properties* with the names that apache/kafka's image expects."""
    return {"KAFKA_" + name.upper().replace(".", "_"): value for name, value in properties.items()}


def labels() -> dict[str, str]:
    """Return what marks a container of this run."""
    return {LABEL: f"{socket.gethostname()}/{os.getpid()}"}


def prepare() -> None:
    """Remove containers of killed runs; do without Ryuk, testcontainers' own cleaner, if its image is missing."""
    with _client() as client:
        for leftover in client.containers.list(all=True, filters={"label": LABEL}):
            machine, _, pid = leftover.labels[LABEL].rpartition("/")
            if machine == socket.gethostname() and not _runs(int(pid)):
                leftover.remove(force=True, v=True)
        for leftover in client.networks.list(filters={"label": LABEL}):
            machine, _, pid = leftover.attrs["Labels"][LABEL].rpartition("/")
            if machine == socket.gethostname() and not _runs(int(pid)):
                leftover.remove()
        testcontainers_config.ryuk_disabled |= not _has(client, testcontainers_config.ryuk_image)


@contextmanager
def _client() -> Iterator[DockerClient]:
    client = docker.from_env(timeout=_ASK_SECONDS)
    try:
        yield client
    finally:
        client.close()


def _has(client: DockerClient, image: str) -> bool:
    try:
        client.images.get(image)
    except ImageNotFound:
        return False
    return True


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
