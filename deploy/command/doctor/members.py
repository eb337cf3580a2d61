"""What the broker tells of the replicas: the members of their group, and what each owns."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import for_code

from deploy.command.findings import Finding, State
from deploy.support.connections import admin_client, topics_of
from runtime.settings import ReplicaSettings

_STABLE = ("Stable", "Empty", "Dead")
_PORT = re.compile(r"-([0-9]{1,5})\Z")
"""At the end of a replica's client id."""


@dataclass(frozen=True)
class Member:
    """One member of the group."""

    host: str
    """The address from which it has connected, as the broker sees it."""
    port: int
    """Its management port: by its client id, or else by our own setting."""
    partitions: frozenset[int]
    """The partition numbers of events that it owns."""

    @property
    def url(self) -> str:
        """Return where it answers, if the way from here is the broker's."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclass(frozen=True)
class Group:
    """The group of the replicas."""

    members: tuple[Member, ...]
    partitions: int
    """How many there are to own."""
    rebalancing: bool


async def read_group(settings: ReplicaSettings) -> Group:
    """Return the group; raise KafkaError, OSError or TimeoutError."""
    topic = topics_of(settings).events[0]
    async with admin_client(settings) as admin:
        (answer,) = await admin.describe_consumer_groups([settings.consumer_group])
        (described,) = await admin.describe_topics([topic])
    error, _, state, _, _, members, *_ = answer.groups[0]
    if error:
        raise for_code(error)
    found = tuple(_member(member, topic, settings.management_port) for member in members)
    return Group(found, len(described["partitions"]), rebalancing=state not in _STABLE)


def _member(described: Any, topic: str, default_port: int) -> Member:
    _, client_id, host, _, assigned, *_ = described
    port = _PORT.search(client_id)
    return Member(host.lstrip("/"), int(port[1]) if port else default_port, frozenset(_owned(assigned, topic)))


def _owned(assigned: bytes, topic: str) -> Iterable[int]:
    """Return the partitions of a topic in an assignment; none while the group rebalances."""
    if not assigned:
        return ()
    try:
        assignment = ConsumerProtocolMemberAssignment.decode(assigned)
    except (ValueError, UnicodeDecodeError):  # of a client that is not ours
        return ()
    return [number for name, numbers in assignment.assignment if name == topic for number in numbers]


def group_findings(group: Group) -> list[Finding]:
    """Return the findings about the group: its members, and partitions without an owner."""
    if not group.members:
        advice = "start replicas; nothing is lost, events wait in Kafka"
        return [Finding("replicas", State.FAIL, "none is in the group, so nothing is sent", advice)]
    owned = frozenset[int]().union(*(member.partitions for member in group.members))
    count = f"{len(group.members)} in the group" if len(group.members) > 1 else "one is in the group"
    if group.rebalancing:
        return [Finding("replicas", State.WARN, f"{count}, which rebalances now", "ask again in some seconds")]
    if left := sorted(set(range(group.partitions)) - owned):
        detail = f"{count}, and nobody owns {len(left)} of {group.partitions} partitions, such as {left[0]}"
        return [Finding("replicas", State.FAIL, detail, "see deploy/runbooks/partition-without-owner.md")]
    owners = sum(bool(member.partitions) for member in group.members)
    return [Finding("replicas", State.OK, f"{count}; {owners} of them own all {group.partitions} partitions")]
