"""Find out which rights (Kafka ACLs) a program needs and lacks, by asking the brokers: nothing is written for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from prometheus_client import Gauge

from runtime.clock import Clock
from runtime.kafka.connection import connected_admin
from runtime.kafka.descriptions import Described, Right, describe_topics, group_rights

log = structlog.get_logger(__name__)

_ASK_AGAIN_SECONDS = 5.0


@dataclass(frozen=True)
class Needs:
    """The rights that a program needs on topics and its group."""

    topics: Mapping[str, frozenset[Right]] = field(default_factory=dict)
    """By topic. Describe is always needed, too; Read and Write imply it."""
    group: str | None = None
    """The consumer group to join, which needs Read."""


@dataclass(frozen=True)
class Missing:
    """A right that is needed but not granted."""

    right: Right
    kind: str
    name: str

    def __str__(self) -> str:
        """Return the right in words."""
        return f"{self.right} on {self.kind} {self.name}"

    @property
    def command(self) -> str:
        """Return the command that grants it."""
        return (
            "kafka-acls.sh --bootstrap-server HOST:PORT --add --allow-principal User:NAME "
            f"--operation {self.right} --{self.kind} {self.name}"
        )


def missing_of_topics(described: Mapping[str, Described], needs: Needs) -> list[Missing]:
    """Return the rights on topics that are needed but not granted."""
    return [
        Missing(right, "topic", name)
        for name, topic in described.items()
        for right in sorted(_lacking(topic, needs.topics.get(name, frozenset())))
    ]


def _lacking(topic: Described, needed: frozenset[Right]) -> frozenset[Right]:
    if topic.rights is None:
        return frozenset()
    if topic.forbidden and needed.isdisjoint({Right.READ, Right.WRITE}):  # they would imply Describe
        needed |= {Right.DESCRIBE}
    return needed - topic.rights


async def missing_of_group(admin: AIOKafkaAdminClient, needs: Needs) -> list[Missing]:
    """Return Read on the group if it is needed but not granted; raise KafkaError, OSError or TimeoutError."""
    if needs.group is None:
        return []
    rights = await group_rights(admin, needs.group)
    return [] if rights is None or Right.READ in rights else [Missing(Right.READ, "group", needs.group)]


class RightsWatch:
    """
    Asks every few seconds whether all rights are still granted, and which are missing.

    A missing right otherwise shows only at the next write or read. Until then the program would report that it is
    ready, and would accept calls that it must refuse.
    """

    def __init__(self, arguments: Callable[[], Mapping[str, Any]], needs: Needs, clock: Clock, gauge: Gauge) -> None:
        self._arguments = arguments
        self._needs = needs
        self._clock = clock
        self._gauge = gauge
        self.missing: tuple[Missing, ...] = ()
        """The rights that were missing when the brokers last answered."""

    async def run(self) -> None:
        """Ask until cancelled; while no broker answers, keep the last result."""
        while True:
            with suppress(KafkaError, OSError, TimeoutError):
                await self._ask_on()
            await self._clock.sleep(_ASK_AGAIN_SECONDS)

    async def _ask_on(self) -> None:
        async with connected_admin(self._arguments()) as admin:
            while True:
                described = await describe_topics(admin, self._needs.topics)
                missing = missing_of_topics(described, self._needs) + await missing_of_group(admin, self._needs)
                self._take(tuple(missing))
                await self._clock.sleep(_ASK_AGAIN_SECONDS)

    def _take(self, missing: tuple[Missing, ...]) -> None:
        if missing and missing != self.missing:
            log.error("kafka.rights.missing", rights=[str(one) for one in missing], grant=missing[0].command)
        elif self.missing and not missing:
            log.info("kafka.rights.granted")
        self.missing = missing
        self._gauge.set(len(missing))
