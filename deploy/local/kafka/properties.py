"""The settings of local brokers: one, or three that replicate as in production."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.local.ports import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

REPLICATED = 3  # from this many brokers on, each record has three copies, and two acknowledge it
_FOURTEEN_DAYS_IN_MINUTES = 14 * 24 * 60


@dataclass(frozen=True, kw_only=True)
class SecondDoor:
    """
    A second listener, whose clients are told to connect to *advertised_port*.

    A proxy listens there, so that a test can cut the network.
    """

    port: int
    advertised_port: int

    @property
    def address(self) -> str:
        """The address that it listens on."""
        return f"{HOST}:{self.port}"

    @property
    def advertised(self) -> str:
        """The address that clients are told to use."""
        return f"{HOST}:{self.advertised_port}"


@dataclass(frozen=True, kw_only=True)
class SecureDoor:
    """
    A listener for SASL_SSL with SCRAM-SHA-512, whose clients are subject to ACLs.

    Clients of the plain listener are super users, and may do everything.
    """

    port: int
    keystore: Path
    """The key and the certificates of the broker, in one PEM file."""
    users: Mapping[str, str]
    """Passwords by user name; they are created when the data directory is formatted."""

    @property
    def address(self) -> str:
        """The address that it listens on."""
        return f"{HOST}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class Node:
    """One broker, which is also a controller of the quorum."""

    node_id: int
    port: int
    controller_port: int
    second_door: SecondDoor | None = None
    secure_door: SecureDoor | None = None
    patient: bool = False
    """Whether it stays in the quorum through a minute without a heartbeat. If killed, it comes back only after that."""

    @property
    def address(self) -> str:
        """Its address for clients."""
        return f"{HOST}:{self.port}"

    @property
    def directory(self) -> str:
        """The directory of its data, within that of the cluster."""
        return f"broker-{self.node_id}"


def common_properties(brokers: int, *, patient: bool = False) -> dict[str, str]:
    """Return the settings that all brokers of a cluster share, also in a container; see `Node.patient`."""
    replicas, in_sync = (3, 2) if brokers >= REPLICATED else (1, 1)
    return {
        "auto.create.topics.enable": "false",
        "unclean.leader.election.enable": "false",
        "default.replication.factor": str(replicas),
        "min.insync.replicas": str(in_sync),
        "offsets.topic.num.partitions": "5",
        "offsets.topic.replication.factor": str(replicas),
        "offsets.retention.minutes": str(_FOURTEEN_DAYS_IN_MINUTES),
        "transaction.state.log.num.partitions": "5",
        "transaction.state.log.replication.factor": str(replicas),
        "transaction.state.log.min.isr": str(in_sync),
        "share.coordinator.state.topic.replication.factor": str(replicas),
        "share.coordinator.state.topic.min.isr": str(in_sync),
        "group.initial.rebalance.delay.ms": "0",
        # The default is 128 MiB, of a heap of 384.
        "log.cleaner.dedupe.buffer.size": str(8 * 1024 * 1024),
        # A killed broker can come back only after its session has ended: 9 s by default. A single broker has a short
        # one, since no other could take over. Three have a longer one, so that a busy machine changes no leaders.
        "broker.session.timeout.ms": "60000" if patient else "6000" if brokers >= REPLICATED else "2000",
        "broker.heartbeat.interval.ms": "500",
        "log.segment.delete.delay.ms": "1000",  # so that a killed broker does not recover deleted logs
    }


def server_properties(node: Node, quorum: Sequence[Node]) -> dict[str, str]:
    """Return all settings of *node* in *quorum*; paths are relative to the directory of the cluster."""
    voters = ",".join(f"{voter.node_id}@{HOST}:{voter.controller_port}" for voter in quorum)
    return common_properties(len(quorum), patient=node.patient) | {
        "process.roles": "broker,controller",
        "node.id": str(node.node_id),
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{node.address},CONTROLLER://{HOST}:{node.controller_port}",
        "log.dirs": node.directory,
        **(_with_second_door(node, node.second_door) if node.second_door else {}),
        **(_with_secure_door(node, node.secure_door) if node.secure_door else {}),
    }


def _with_second_door(node: Node, door: SecondDoor) -> dict[str, str]:
    return _with_listener(node, "SECOND", "PLAINTEXT", door.address, door.advertised)


def _with_secure_door(node: Node, door: SecureDoor) -> dict[str, str]:
    return _with_listener(node, "SECURE", "SASL_SSL", door.address, door.address) | {
        "listener.name.secure.ssl.keystore.type": "PEM",
        "listener.name.secure.ssl.keystore.location": str(door.keystore),
        "listener.name.secure.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.secure.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }


def _with_listener(node: Node, name: str, protocol: str, address: str, advertised: str) -> dict[str, str]:
    return {
        "listeners": f"PLAINTEXT://{node.address},{name}://{address},CONTROLLER://{HOST}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{node.address},{name}://{advertised}",
        "listener.security.protocol.map": f"PLAINTEXT:PLAINTEXT,{name}:{protocol},CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
    }


def as_file(properties: Mapping[str, str]) -> str:
    """Return *properties* as the text that Kafka reads: ASCII only, one per line."""
    return "".join(f"{name}={value}\n" for name, value in properties.items())
