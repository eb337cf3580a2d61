"""What the dispatches topic and the event topics say now about the dispatches of some dead letters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from deploy.command.dead_letters.candidates import Candidate
from runtime.kafka.records import Place, Record
from runtime.kafka.topics import CONFIGS as TOPIC_CONFIGS
from runtime.kafka.topics import Topics, partition_for
from runtime.signing_keys import checked
from schemas import headers as names
from schemas.cloudevents import NotAnEvent, decode
from schemas.dispatch import DISPATCHES_TOPIC, Dispatch, fold, parse_dispatch
from schemas.headers import header
from schemas.signatures import SigningKeys

_CLOCKS = timedelta(hours=1)
"""How far the clocks of brokers may be apart."""

_DISPATCHES_KEPT = timedelta(milliseconds=int(TOPIC_CONFIGS[DISPATCHES_TOPIC]["retention.ms"]))


@dataclass
class Standings:
    """What the dispatches and event topics say by now of the dispatches asked for."""

    topics: Topics
    wanted: frozenset[str]
    keys: SigningKeys
    dispatches: dict[str, Dispatch] = field(default_factory=dict)
    replays: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    """By dispatch: topic and offset of the replays that were published."""

    def take(self, record: Record) -> None:
        """Take in a record of the dispatches or of an event topic; others are let pass, dead letters among them."""
        if record.topic == self.topics.dispatches:
            self._take_dispatch(record)
        elif record.topic in self.topics.events:
            self._take_event(record)

    def _take_dispatch(self, record: Record) -> None:
        dispatch_id = (record.key or b"").decode(errors="replace")
        later = parse_dispatch(record.value) if dispatch_id in self.wanted else None
        if later is not None:
            known = self.dispatches.get(dispatch_id)
            self.dispatches[dispatch_id] = later if known is None else fold(known, later)

    def _take_event(self, record: Record) -> None:
        if header(record.headers, names.REPLAY) is None or not checked(record, self.keys)[0].proven:
            return
        try:
            dispatch_id = decode(record.headers, record.value).dispatch_id
        except NotAnEvent:
            return
        self.replays.setdefault(dispatch_id, []).append((record.topic, record.offset))

    def of(self, candidate: Candidate) -> Dispatch | None:
        """
        Return a dispatch as it now stands, or None if it is not known what became of it.

        A topic is deleted from its beginning, so that where any record of the dispatch is left, all later ones are.
        """
        found = self.dispatches.get(candidate.event.dispatch_id)
        return found if found is None or candidate.stood is None else fold(candidate.stood, found)

    def awaits_replay(self, dispatch: Dispatch) -> bool:
        """Return whether a replay was published that no replica has seen through."""
        return any(not dispatch.has_seen(*place) for place in self.replays.get(dispatch.dispatch_id, ()))


def where_to_look(candidates: Iterable[Candidate], topics: Topics, partitions: int) -> dict[Place, datetime]:
    """Say from when on to read what: dispatches since their event, events (for replays) since the dead letter."""
    starts: dict[Place, datetime] = {}
    for one in candidates:
        number = partition_for(one.event.mentor_id, partitions)
        begun = _begun(one)
        for topic, since in (
            (topics.dispatches, begun),
            (topics.named(one.event.kind.topic), one.found.record.appended_at),
        ):
            place = Place(topic, number)
            starts[place] = min(starts.get(place, since - _CLOCKS), since - _CLOCKS)
    return starts


def _begun(candidate: Candidate) -> datetime:
    """Return when its dispatch may have begun: within all that is kept, if nothing is proven of that."""
    if candidate.appended_at is None:
        return candidate.found.record.appended_at - _DISPATCHES_KEPT
    if candidate.stood is None:
        return candidate.appended_at
    return min(candidate.appended_at, candidate.stood.origin.appended_at)
