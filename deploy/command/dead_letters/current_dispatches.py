"""What the dispatches topic and the event topics say now about the dispatches of some dead letters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from deploy.command.dead_letters.candidates import Candidate
from runtime.kafka.records import Place, Record
from runtime.kafka.topics import CONFIGS as TOPIC_CONFIGS
from runtime.kafka.topics import Topics
from runtime.signing_keys import proof_of
from schemas import headers as names
from schemas.cloudevents import NotAnEvent, decode
from schemas.dispatch import DISPATCHES_TOPIC, Dispatch, fold, parse_dispatch
from schemas.headers import header
from schemas.placement import partition_for
from schemas.signatures import SigningKeys

_CLOCK_SKEW = timedelta(hours=1)
"""How far the clocks of brokers may differ."""

_DISPATCHES_KEPT = timedelta(milliseconds=int(TOPIC_CONFIGS[DISPATCHES_TOPIC]["retention.ms"]))


@dataclass
class CurrentDispatches:
    """The dispatches of the given ids, and the replays of them that were published."""

    topics: Topics
    wanted: frozenset[str]
    keys: SigningKeys
    dispatches: dict[str, Dispatch] = field(default_factory=dict)
    replays: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    """Topic and offset of each published replay, by dispatch id."""

    def add(self, record: Record) -> None:
        """Read a record of the dispatches topic or of an event topic; ignore all others."""
        if record.topic == self.topics.dispatches:
            self._add_dispatch(record)
        elif record.topic in self.topics.events:
            self._add_event(record)

    def _add_dispatch(self, record: Record) -> None:
        dispatch_id = (record.key or b"").decode(errors="replace")
        later = parse_dispatch(record.value) if dispatch_id in self.wanted else None
        if later is not None:
            known = self.dispatches.get(dispatch_id)
            self.dispatches[dispatch_id] = later if known is None else fold(known, later)

    def _add_event(self, record: Record) -> None:
        if header(record.headers, names.REPLAY) is None or not proof_of(record, self.keys).proven:
            return
        try:
            dispatch_id = decode(record.headers, record.value).dispatch_id
        except NotAnEvent:
            return
        self.replays.setdefault(dispatch_id, []).append((record.topic, record.offset))

    def of(self, candidate: Candidate) -> Dispatch | None:
        """
        Return the candidate's dispatch as it is now, or None if its topic has no record of it.

        Kafka deletes a topic from its beginning. So if one record of the dispatch is left, all later ones are, too.
        """
        current = self.dispatches.get(candidate.event.dispatch_id)
        return current if current is None or candidate.dispatch is None else fold(candidate.dispatch, current)

    def has_waiting_replay(self, dispatch: Dispatch) -> bool:
        """Check whether a replay was published that no replica has processed yet."""
        return any(not dispatch.has_seen(*place) for place in self.replays.get(dispatch.dispatch_id, ()))


def start_times(candidates: Iterable[Candidate], topics: Topics, partitions: int) -> dict[Place, datetime]:
    """
    Return the partitions to read, and from what time on.

    Dispatches are read since their event was appended. Events are read since the dead letter was, to find replays.
    """
    starts: dict[Place, datetime] = {}
    for one in candidates:
        number = partition_for(one.event.mentor_id, partitions)
        for topic, since in (
            (topics.dispatches, _earliest_start(one)),
            (topics.named(one.event.kind.topic), one.stored.record.appended_at),
        ):
            place = Place(topic, number)
            starts[place] = min(starts.get(place, since - _CLOCK_SKEW), since - _CLOCK_SKEW)
    return starts


def _earliest_start(candidate: Candidate) -> datetime:
    """Return when its dispatch may have started; without proof, the oldest time that the topic still covers."""
    if candidate.appended_at is None:
        return candidate.stored.record.appended_at - _DISPATCHES_KEPT
    if candidate.dispatch is None:
        return candidate.appended_at
    return min(candidate.appended_at, candidate.dispatch.origin.appended_at)
