"""Where a dispatch stands: from what was lately seen here, or read from Kafka at the place that `at` names."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import reduce

from aiokafka.errors import KafkaError

from runtime.kafka.records import Place, Record
from runtime.kafka.topics import Topics
from runtime.signing_keys import checked, is_impostor
from schemas.codec import NotAnEvent, decode
from schemas.dispatch import Dispatch, fold, parse_dispatch
from schemas.events import Event
from schemas.signatures import SigningKeys
from service.answers import Answer, standing_answer
from service.connecting import Clients, Connection
from service.problems import NO_SUCH_DISPATCH, NOT_LATELY_SEEN, TRY_AGAIN, Problem
from service.waiting import Recent, Seen

_AT = re.compile(r"(?P<topic>[A-Za-z0-9._-]{1,249})-(?P<partition>[0-9]{1,6})-(?P<offset>[0-9]{1,18})", re.ASCII)
_DISPATCH_ID = re.compile(r"[0-9a-f]{32}")
_CLOCKS = timedelta(seconds=2)
"""Append times of two partitions come from two brokers' clocks; reading a little more costs next to nothing."""


class Lookup:
    """Answers where dispatches stand."""

    def __init__(self, connection: Connection, topics: Topics, recent: Recent, keys: SigningKeys) -> None:
        self._connection = connection
        self._topics = topics
        self._recent = recent
        self._keys = keys

    async def answer(self, dispatch_id: str, at: str | None) -> Answer:
        """Give where a dispatch stands; raises Problem where there is none, or Kafka does not answer."""
        if not _DISPATCH_ID.fullmatch(dispatch_id):
            raise Problem(NO_SUCH_DISPATCH, "The id is malformed: it must be 32 lower-case hex digits.")
        seen = self._recent.get(dispatch_id)
        if at is None:
            return await self._without_place(dispatch_id, seen)
        place, offset = self._parse(at, dispatch_id)
        if seen and seen.event and seen.published and seen.dispatch and seen.dispatch.final:
            published = seen.published
            if (published.topic, published.partition, published.offset) == (*place, offset):
                return standing_answer(seen.event, seen.dispatch, published.appended_at)
        return await self._read(dispatch_id, place, offset)

    async def _without_place(self, dispatch_id: str, seen: Seen | None) -> Answer:
        if seen is not None and seen.event is not None and seen.published is not None:
            return standing_answer(seen.event, seen.dispatch, seen.published.appended_at)
        if seen is None or seen.dispatch is None:
            detail = "This facade has not lately seen the dispatch; ask with the `at` of the Location of its 202."
            raise Problem(NOT_LATELY_SEEN, detail)
        origin = seen.dispatch.origin
        return await self._read(dispatch_id, Place(origin.topic, origin.partition), origin.offset)

    def _parse(self, at: str, dispatch_id: str) -> tuple[Place, int]:
        found = _AT.fullmatch(at)
        if found is None:
            detail = f"`at` is malformed: it must be topic-partition-offset, such as {self._topics.events[0]}-0-42."
            raise Problem(NO_SUCH_DISPATCH, detail, dispatch_id=dispatch_id)
        if found["topic"] not in self._topics.events:
            raise _no_such(dispatch_id)
        return Place(found["topic"], int(found["partition"])), int(found["offset"])

    async def _read(self, dispatch_id: str, place: Place, offset: int) -> Answer:
        clients = self._connection.clients
        if clients is None:
            raise _try_again()
        if place.partition >= clients.partitions:
            raise _no_such(dispatch_id)
        try:
            record = await clients.records.read(place, offset)
            event = self._event(record, dispatch_id)
            if record is None or event is None:
                raise _no_such(dispatch_id)
            dispatch = await self._dispatch(clients, record, dispatch_id)
        except (KafkaError, OSError, TimeoutError) as error:
            raise _try_again() from error
        return standing_answer(event, dispatch, record.appended_at)

    def _event(self, record: Record | None, dispatch_id: str) -> Event | None:
        """Return the event that lies there, unless it is another, or claims to be a facade's and is not."""
        if record is None:
            return None
        try:
            event = decode(record.headers, record.value)
        except NotAnEvent:
            return None
        proof, _ = checked(record, self._keys)
        return event if event.dispatch_id == dispatch_id and not is_impostor(event.source, proof) else None

    async def _dispatch(self, clients: Clients, event: Record, dispatch_id: str) -> Dispatch | None:
        place = Place(self._topics.dispatches, event.partition)
        records = await clients.records.read_from(place, event.appended_at - _CLOCKS, key=dispatch_id.encode())
        found = [dispatch for record in records if (dispatch := parse_dispatch(record.value))]
        seen = self._recent.get(dispatch_id)
        if seen is not None and seen.dispatch is not None:
            found.append(seen.dispatch)  # of a repeated event: records that lie before it
        return reduce(fold, found) if found else None


def _no_such(dispatch_id: str) -> Problem:
    return Problem(NO_SUCH_DISPATCH, "No event of this dispatch lies there.", dispatch_id=dispatch_id)


def _try_again() -> Problem:
    return Problem(TRY_AGAIN, "Kafka does not answer just now.", headers={"Retry-After": "1"})
