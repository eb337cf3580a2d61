"""Where a dispatch stands: from what was lately seen here, or read from Kafka at the place that `at` names."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import reduce

from aiokafka.errors import KafkaError

from runtime.kafka.records import Place, Record
from runtime.kafka.topics import Topics
from runtime.signing_keys import checked, is_impostor
from schemas.cloudevents import NotAnEvent, decode
from schemas.dispatch import Dispatch, fold, parse_dispatch
from schemas.events import Event
from schemas.positions import Position
from schemas.signatures import SigningKeys
from service.answers import Answer, standing_answer
from service.callers import Caller
from service.kafka_clients import Clients, Connection
from service.ownership import may_read, owner_by_dispatch, owner_by_event
from service.problems import NO_SUCH_DISPATCH, NOT_LATELY_SEEN, TRY_AGAIN, Problem
from service.recent_dispatches import RecentDispatch, RecentDispatches

_DISPATCH_ID = re.compile(r"[0-9a-f]{32}")
_CLOCKS = timedelta(seconds=2)
"""Append times of two partitions come from two brokers' clocks; reading a little more costs next to nothing."""


class Lookup:
    """Answers where dispatches stand."""

    def __init__(self, connection: Connection, topics: Topics, recent: RecentDispatches, keys: SigningKeys) -> None:
        self._connection = connection
        self._topics = topics
        self._recent = recent
        self._keys = keys

    async def answer(self, dispatch_id: str, at: str | None, reader: Caller) -> Answer:
        """
        Return where a dispatch stands.

        Raises:
            Problem: if there is none, if it is not *reader*'s to read (which looks the same), or if Kafka is silent.
        """
        if not _DISPATCH_ID.fullmatch(dispatch_id):
            raise Problem(NO_SUCH_DISPATCH, "The id is malformed: it must be 32 lower-case hex digits.")
        seen = self._recent.get(dispatch_id)
        called_here = _called_here(reader, seen)
        if not called_here and not self._keys:
            raise _not_lately_seen()  # nothing proves whose an event is; that it exists is not told, either
        if at is None:
            return await self._without_place(dispatch_id, seen, reader, called_here=called_here)
        position = self._parse(at, dispatch_id)
        if called_here and seen and seen.event and seen.published and seen.dispatch and seen.dispatch.final:
            published = seen.published
            if published.position == position:
                return standing_answer(seen.event, seen.dispatch, published.appended_at)
        return await self._read(dispatch_id, position, reader, called_here=called_here)

    async def _without_place(
        self, dispatch_id: str, seen: RecentDispatch | None, reader: Caller, *, called_here: bool
    ) -> Answer:
        if called_here and seen is not None and seen.event is not None and seen.published is not None:
            return standing_answer(seen.event, seen.dispatch, seen.published.appended_at)
        if seen is None or seen.dispatch is None or not may_read(reader, owner_by_dispatch(seen.dispatch)):
            raise _not_lately_seen()
        return await self._read(dispatch_id, seen.dispatch.origin.position, reader, called_here=called_here)

    def _parse(self, at: str, dispatch_id: str) -> Position:
        try:
            position = Position.parse(at)
        except ValueError:
            detail = f"`at` is malformed: it must be topic-partition-offset, such as {self._topics.events[0]}-0-42."
            raise Problem(NO_SUCH_DISPATCH, detail, dispatch_id=dispatch_id) from None
        if position.topic not in self._topics.events:
            raise _no_such(dispatch_id)
        return position

    async def _read(self, dispatch_id: str, position: Position, reader: Caller, *, called_here: bool) -> Answer:
        clients = self._connection.clients
        if clients is None:
            raise _try_again()
        if position.partition >= clients.partitions:
            raise _no_such(dispatch_id)
        try:
            record = await clients.records.read(Place(position.topic, position.partition), position.offset)
            event, owner = self._event(record, dispatch_id)
            if record is None or event is None or not (called_here or may_read(reader, owner)):
                raise _no_such(dispatch_id)
            dispatch = await self._dispatch(clients, record, dispatch_id)
        except (KafkaError, OSError, TimeoutError) as error:
            raise _try_again() from error
        if dispatch is not None and not (called_here or may_read(reader, owner, owner_by_dispatch(dispatch))):
            raise _no_such(dispatch_id)
        return standing_answer(event, dispatch, record.appended_at)

    def _event(self, record: Record | None, dispatch_id: str) -> tuple[Event | None, str | None]:
        """
        Return the event that lies there and the caller whom it provenly names.

        It is None if it is another event, or claims to be a facade's and is not.
        """
        if record is None:
            return None, None
        try:
            event = decode(record.headers, record.value)
        except NotAnEvent:
            return None, None
        proof, believed = checked(record, self._keys)
        if event.dispatch_id != dispatch_id or is_impostor(event.source, proof):
            return None, None
        return event, owner_by_event(believed.headers)

    async def _dispatch(self, clients: Clients, event: Record, dispatch_id: str) -> Dispatch | None:
        place = Place(self._topics.dispatches, event.partition)
        records = await clients.records.read_from(place, event.appended_at - _CLOCKS, key=dispatch_id.encode())
        found = [dispatch for record in records if (dispatch := parse_dispatch(record.value))]
        seen = self._recent.get(dispatch_id)
        if seen is not None and seen.dispatch is not None:
            found.append(seen.dispatch)  # of a repeated event: records that lie before it
        return reduce(fold, found) if found else None


def _called_here(reader: Caller, seen: RecentDispatch | None) -> bool:
    """Check whether *reader* made the call here, which needs no proof; an operator reads all anyway."""
    return may_read(reader, seen.caller if seen is not None else None)


def _not_lately_seen() -> Problem:
    detail = "This facade has not lately seen the dispatch; ask with the `at` of the Location of its 202."
    return Problem(NOT_LATELY_SEEN, detail)


def _no_such(dispatch_id: str) -> Problem:
    return Problem(NO_SUCH_DISPATCH, "No event of this dispatch lies there.", dispatch_id=dispatch_id)


def _try_again() -> Problem:
    return Problem(TRY_AGAIN, "Kafka does not answer just now.", headers={"Retry-After": "1"})
