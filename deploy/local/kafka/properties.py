"""The settings of a broker that runs here: one, or three that replicate as in production."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.local.ports import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

REPLICATED = 3  # from this many brokers on, every record lies on three and is acknowledged by two
_FOURTEEN_DAYS_IN_MINUTES = 14 * 24 * 60


@dataclass(frozen=True, kw_only=True)
class SecondDoor:
    """
    A listener beside the usual one: whoever comes in by it is told to come by *advertised_port*.

    That is for a proxy to listen on, behind which the network can be cut.
    """

    port: int
    advertised_port: int

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{HOST}:{self.port}"

    @property
    def advertised(self) -> str:
        """Where a proxy is looked for."""
        return f"{HOST}:{self.advertised_port}"


@dataclass(frozen=True, kw_only=True)
class SecureDoor:
    """
    A listener for SASL_SSL with SCRAM-SHA-512; the broker then asks its ACLs about everybody but its own kind.

    Whoever comes in by the usual listener is its own kind: a super user, for whom nothing is forbidden.
    """

    port: int
    keystore: Path
    """The broker's key and its certificates, PEM, in one file."""
    users: Mapping[str, str]
    """Passwords by user name; they are made when the data directory is formatted."""

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{HOST}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class Node:
    """One broker, which is a controller of the quorum as well."""

    node_id: int
    port: int
    controller_port: int
    second_door: SecondDoor | None = None
    secure_door: SecureDoor | None = None

    @property
    def address(self) -> str:
        """Where clients reach it."""
        return f"{HOST}:{self.port}"

    @property
    def directory(self) -> str:
        """Where its data lies, within the cluster's directory."""
        return f"broker-{self.node_id}"


def common_properties(brokers: int) -> dict[str, str]:
    """Return what every broker of a cluster of *brokers* has set alike, in a container too."""
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
        # 128 MiB otherwise, of a heap of 384.
        "log.cleaner.dedupe.buffer.size": str(8 * 1024 * 1024),
        # A killed broker may come back only once its session is over: 9 s by default. Shorter where nobody else
        # could take over meanwhile; not so short among three that a busy laptop makes them change leaders.
        "broker.session.timeout.ms": "6000" if brokers >= REPLICATED else "2000",
        "broker.heartbeat.interval.ms": "500",
        "log.segment.delete.delay.ms": "1000",  # who has killed brokers does not want what was deleted recovered
    }


def server_properties(node: Node, quorum: Sequence[Node]) -> dict[str, str]:
    """Return all that *node* of *quorum* has set; paths are relative to the cluster's directory."""
    voters = ",".join(f"{voter.node_id}@{HOST}:{voter.controller_port}" for voter in quorum)
    return common_properties(len(quorum)) | {
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
    """Write *properties* as Kafka reads them: ASCII alone, one a line."""
    return "".join(f"{name}={value}\n" for name, value in properties.items())
