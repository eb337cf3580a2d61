"""What the broker tells of the replicas: the members of their group, and what each owns."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError, for_code

from deploy.command.findings import Finding, State
from deploy.support.connections import admin_client, topics_of
from runtime.settings import ReplicaSettings

_SECONDS = 10.0
_AGAIN_SECONDS = 0.5
_STABLE = ("Stable", "Empty", "Dead")
_PORT = re.compile(r"-([0-9]{1,5})\Z")
"""At the end of a replica's client id."""
_MAX_PORT = 65_535


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
    async with admin_client(settings) as admin, asyncio.timeout(_SECONDS):
        while True:
            try:
                return await _read(admin, settings)
            except KafkaError as error:  # a new cluster takes a moment until it has a coordinator for the group
                if not error.retriable:
                    raise
                await asyncio.sleep(_AGAIN_SECONDS)


async def _read(admin: AIOKafkaAdminClient, settings: ReplicaSettings) -> Group:
    topic = topics_of(settings).events[0]
    (answer,) = await admin.describe_consumer_groups([settings.consumer_group])
    (described,) = await admin.describe_topics([topic])
    error, _, state, _, _, members, *_ = answer.groups[0]
    if error:
        raise for_code(error)
    found = tuple(member_of(member, topic, settings.management_port) for member in members)
    return Group(found, len(described["partitions"]), rebalancing=state not in _STABLE)


def member_of(described: Any, topic: str, default_port: int) -> Member:
    """Return a member from what the broker's answer has of it."""
    _, client_id, host, _, assigned, *_ = described
    port = _PORT.search(client_id)
    told = int(port[1]) if port and int(port[1]) <= _MAX_PORT else default_port
    return Member(host.lstrip("/"), told, frozenset(_owned(assigned, topic)))


def _owned(assigned: bytes, topic: str) -> Iterable[int]:
    """Return the partitions of a topic in an assignment; none while the group rebalances."""
    if not assigned:
        return ()
    try:
        topics = ConsumerProtocolMemberAssignment.decode(assigned).assignment or ()
        return [number for name, numbers in topics if name == topic for number in numbers or ()]
    except (ValueError, UnicodeDecodeError):  # of a client that is not ours
        return ()


def group_findings(group: Group) -> list[Finding]:
    """Return the findings about the group: its members, and partitions without an owner."""
    if not group.members:
        advice = "start replicas; nothing is lost, events wait in Kafka"
        return [Finding("replicas", State.FAIL, "none is in the group, so nothing is sent", advice)]
    owned = frozenset[int]().union(*(member.partitions for member in group.members))
    count = "one is" if len(group.members) == 1 else f"{len(group.members)} are"
    if group.rebalancing:
        detail = f"{count} in the group, which rebalances now"
        return [Finding("replicas", State.WARN, detail, "ask again in some seconds")]
    if left := sorted(set(range(group.partitions)) - owned):
        detail = (
            f"{count} in the group, and nobody owns {len(left)} of {group.partitions} partitions, such as {left[0]}"
        )
        return [Finding("replicas", State.FAIL, detail, "see deploy/runbooks/partition-without-owner.md")]
    return [Finding("replicas", State.OK, f"{count} in the group, and all {group.partitions} partitions have an owner")]
