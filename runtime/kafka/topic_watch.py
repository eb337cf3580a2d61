"""Notice that a followed topic is another one: created anew, deleted, or shorter than what was read of it.

A topic that is deleted and created anew keeps its name, and its offsets start at 0. A client that follows the name
continues at the old offset, and no broker tells it: it reads nothing, or the new topic from the middle on.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from aiokafka.protocol.offset import OffsetRequest

from runtime.kafka.connection import leader_of
from runtime.kafka.records import Place
from runtime.kafka.topic_ids import OWN_CONNECTION, topic_ids

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 5.0
"""How often a follower looks. Findings that need two looks in a row take twice as long."""
_LOOKS_BEFORE_BELIEVED = 2
_NEVER = -math.inf
_LATEST = -1
_EARLIEST = -2
_READ_UNCOMMITTED = 0


class TopicRecreated(KafkaError):  # type: ignore[misc]  # aiokafka ships no types
    """The topic is not the one that was followed: its earlier offsets and records no longer mean anything."""

    def __init__(self, topic: str, how: str) -> None:
        super().__init__(f"{topic} {how}")
        self.topic = topic
        self.how = how


ANEW, GONE, SHORTER = "was made anew", "is gone", "ends before what was read of it"


@dataclass(frozen=True)
class Looked:
    """The result of one look."""

    changed: TopicRecreated | None = None
    starts: Mapping[Place, int] = field(default_factory=dict)
    """The first offsets of the followed partitions."""
    ends: Mapping[Place, int] = field(default_factory=dict)
    """The offsets behind their last records."""


class TopicWatch:
    """
    Remembers which topics are followed, and looks every few seconds whether they are still the same.

    It looks in a task and over a connection of its own, so that no record waits for it.
    """

    def __init__(
        self,
        client: Callable[[], Any],
        *,
        every_seconds: float = LOOK_EVERY_SECONDS,
        deadline_seconds: float = 5.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._every = every_seconds
        self._deadline = deadline_seconds
        self._monotonic = monotonic
        self._ids: dict[str, str] = {}
        self._findings: dict[tuple[str, str], int] = {}
        self._looking: asyncio.Task[Looked] | None = None
        self._forgotten = False
        """Whether the look under way concerns topics that are no longer followed."""
        self._looked_at = _NEVER

    def id_of(self, topic: str) -> str | None:
        """Return the id of a followed topic, or `None` while it is not known."""
        return self._ids.get(topic)

    async def identify(self, topics: Iterable[str]) -> None:
        """Remember which topics have these names now. Raise KafkaError or TimeoutError."""
        wanted = list(topics)
        found = await self._ask_ids(wanted)
        for topic in wanted:
            self._ids.pop(topic, None)
            self._findings = {finding: count for finding, count in self._findings.items() if finding[0] != topic}
            if topic_id := found.get(topic):
                self._ids[topic] = topic_id

    async def check(self, topics: Iterable[str]) -> frozenset[str]:
        """
        Identify new topics, compare the others, and return those that the broker does not know.

        Raise TopicRecreated if one is another topic now, and KafkaError or TimeoutError if no broker answers.
        """
        found = await self._ask_ids(topics)
        self._compare(found)
        return frozenset(topic for topic, topic_id in found.items() if topic_id is None)

    def forget(self) -> None:
        """Forget the topics and any look under way; look at once at what is followed next."""
        self._looked_at = _NEVER
        self._ids.clear()
        self._findings.clear()
        self._forgotten = self._looking is not None

    def look(self, positions: Mapping[Place, int]) -> Looked:
        """
        Return the result of a finished look, each once, and start another one when it is due.

        *positions* are the next offsets to read.
        """
        if self._looking is not None and self._looking.done():
            looking, self._looking = self._looking, None
            forgotten, self._forgotten = self._forgotten, False
            return Looked() if forgotten else self._result(looking)
        if self._looking is None and positions and self._monotonic() - self._looked_at >= self._every:
            self._looked_at = self._monotonic()
            self._looking = asyncio.create_task(self._look(dict(positions)))
        return Looked()

    async def stop(self) -> None:
        """Cancel a look under way."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    def _result(self, looking: asyncio.Task[Looked]) -> Looked:
        if looking.cancelled():
            return Looked()
        error = looking.exception()
        if error is None:
            return looking.result()
        if not isinstance(error, KafkaError | OSError | TimeoutError):
            raise error
        log.debug("kafka.topics.not_looked_at", error=type(error).__name__)
        return Looked()

    async def _look(self, positions: Mapping[Place, int]) -> Looked:
        try:
            ids = await self._ask_ids({place.topic for place in positions})
            self._compare(ids)
            for topic, topic_id in ids.items():
                self._confirm(topic, GONE, found=topic_id is None)
            starts, ends = await self._ask_offsets(positions, _EARLIEST), await self._ask_offsets(positions, _LATEST)
            beyond = {place.topic for place, end in ends.items() if positions[place] > end}
            for topic in {place.topic for place in positions}:
                self._confirm(topic, SHORTER, found=topic in beyond)
        except TopicRecreated as changed:
            await self._client().force_metadata_update()
            return Looked(changed)
        return Looked(None, starts, ends)

    def _compare(self, found: Mapping[str, str | None]) -> None:
        for topic, topic_id in found.items():
            if topic_id is not None and self._ids.setdefault(topic, topic_id) != topic_id:
                raise TopicRecreated(topic, ANEW)

    def _confirm(self, topic: str, how: str, *, found: bool) -> None:
        """Raise only at the second finding in a row: a single broker may lag behind the others."""
        count = self._findings[topic, how] = self._findings.get((topic, how), 0) + 1 if found else 0
        if count >= _LOOKS_BEFORE_BELIEVED:
            raise TopicRecreated(topic, how)

    async def _ask_ids(self, topics: Iterable[str]) -> dict[str, str | None]:
        async with asyncio.timeout(self._deadline):
            return await topic_ids(self._client(), topics)

    async def _ask_offsets(self, places: Iterable[Place], which: int) -> dict[Place, int]:
        """Return the first or last offsets of partitions; leave out those whose leader does not answer."""
        client = self._client()
        by_leader: defaultdict[int, defaultdict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
        for place in places:
            leader = leader_of(client, place)
            if leader is not None:
                by_leader[leader][place.topic].append((place.partition, which))
        found: dict[Place, int] = {}
        for leader, topics in by_leader.items():
            request = OffsetRequest(-1, _READ_UNCOMMITTED, list(topics.items()))
            async with asyncio.timeout(self._deadline):
                answer = await client.send(leader, request, group=OWN_CONNECTION)
            for topic, partitions in answer.topics:
                found |= {Place(topic, number): offset for number, code, _, offset, *_ in partitions if not code}
        return found
