"""Where an assignment starts in each place, decided from what was committed and what the log holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from consumers.assignment.membership import Committed, Membership
from consumers.metrics import Metrics
from runtime.clock import Clock
from runtime.kafka.records import Place
from runtime.kafka.retry import UNAVAILABLE
from runtime.kafka.topic_watch import ANEW, GONE, TopicRecreated
from runtime.kafka.topics import Topics

log = structlog.get_logger(__name__)

_AGAIN_SECONDS = 1.0


@dataclass(frozen=True)
class StartOffset:
    """The first offset to read in a place, and what is wrong with the committed one."""

    offset: int
    committed: bool = False
    """Whether this group processed everything before the offset. If not, it is not known who sent it."""
    deleted: int = 0
    """How many records before the offset were deleted before they were read."""
    end: int = 0
    """Where the log ended when this was found."""
    wrong: str | None = None
    """Why the committed offset does not belong to this log, if it does not."""

    @property
    def seen_up_to(self) -> int:
        """Return the first offset that was neither processed nor reported as deleted."""
        return self.offset - self.deleted


def start_offset(committed: Committed | None, *, topic_id: str | None, first: int, end: int) -> StartOffset:
    """
    Decide where to start in a log that holds the offsets from *first* to before *end*.

    A committed offset is valid only for the topic for which it was committed. If topic ids are not known, only an
    offset beyond the end shows that it was another topic's.
    """
    if committed is None:
        return StartOffset(first)
    known = topic_id is not None and committed.topic_id is not None
    if known and topic_id != committed.topic_id:
        return StartOffset(first, wrong="it was committed for an earlier topic of this name")
    if committed.offset > end and not known:
        return StartOffset(first, wrong="it lies beyond the end")
    if committed.offset > end:
        return StartOffset(end, committed=True, wrong="the log lost its end")
    if committed.offset < first:
        return StartOffset(first, committed=True, deleted=first - committed.offset)
    return StartOffset(committed.offset, committed=True)


class Offsets(Protocol):
    """Looks up where logs begin and end; raises KafkaError or TimeoutError."""

    async def first_offset(self, place: Place) -> int:
        """Return the first offset that a place still keeps."""
        ...

    async def end_offset(self, place: Place) -> int:
        """Return the offset behind the last record of a place."""
        ...


class StartOffsets:
    """Finds where an assignment starts, and has everything assigned again when a topic was recreated."""

    def __init__(
        self, membership: Membership, offsets: Offsets, clock: Clock, topics: Topics, metrics: Metrics
    ) -> None:
        self._membership = membership
        self._offsets = offsets
        self._clock = clock
        self._topics = topics
        self._metrics = metrics
        self._ids: dict[str, str] = {}
        self.missing: frozenset[str] = frozenset()
        """The event topics that do not exist."""

    async def find(self, places: Iterable[Place]) -> dict[Place, StartOffset] | None:
        """
        Return where each place starts, or `None` if everything is about to be assigned again.

        Raises KafkaError or TimeoutError.
        """
        try:
            await self._identify()
        except TopicRecreated as changed:
            self._restart(changed)
            return None
        return {place: await self._find(place) for place in places}

    async def _find(self, place: Place) -> StartOffset:
        committed, topic_id = await self._membership.committed(place), self._membership.id_of(place.topic)
        first, end = await self._offsets.first_offset(place), await self._offsets.end_offset(place)
        found = replace(start_offset(committed, topic_id=topic_id, first=first, end=end), end=end)
        if found.wrong is not None and committed is not None:
            log.error(
                "group.offset_not_used",
                topic=place.topic,
                partition=place.partition,
                committed=committed.offset,
                begins=found.offset,
                why=found.wrong,
            )
            self._metrics.topic_changes.labels(topic=self._topics.plain(place.topic)).inc()
        return found

    async def _identify(self) -> None:
        """Note the topics' ids, and report those that have changed. Raises TopicRecreated."""
        missing = await self._membership.identify()
        if missing - self.missing:  # one broker may lag behind the others
            await self._clock.sleep(_AGAIN_SECONDS)
            missing = await self._membership.identify()
        for topic in missing - self.missing:
            self._report(TopicRecreated(topic, GONE))
        self.missing = missing
        for topic in self._topics.group:
            topic_id = self._membership.id_of(topic)
            if topic_id is not None and self._ids.setdefault(topic, topic_id) != topic_id:
                self._ids[topic] = topic_id
                self._report(TopicRecreated(topic, ANEW))

    async def watch(self) -> None:
        """Check from time to time whether the topics are the same, and restart if one is not, until cancelled."""
        while True:
            await self._clock.sleep(_AGAIN_SECONDS)
            try:
                self._membership.look()
                if self.missing and self.missing != await self._membership.identify():
                    self._membership.rejoin()
            except TopicRecreated as changed:
                self._restart(changed)
            except UNAVAILABLE as error:
                log.debug("kafka.topics.not_looked_at", error=type(error).__name__)

    def _restart(self, changed: TopicRecreated) -> None:
        """Have everything assigned again, so that it is read from where the topics are now."""
        self._ids.pop(changed.topic, None)
        if changed.how == GONE:
            self.missing |= {changed.topic}
        self._report(changed)
        self._membership.rejoin()

    def _report(self, changed: TopicRecreated) -> None:
        log.error("group.topic_changed", topic=changed.topic, how=changed.how)
        self._metrics.topic_changes.labels(topic=self._topics.plain(changed.topic)).inc()
