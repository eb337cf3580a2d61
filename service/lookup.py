"""Look up the state of a dispatch: among those seen recently, or in Kafka at the position that `at` names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce

from aiokafka.errors import KafkaError

from runtime.kafka.records import Place, Record
from runtime.kafka.topics import Topics
from runtime.signing_keys import sound_event
from schemas.dispatch import Dispatch, fold, parse_dispatch
from schemas.events import Event
from schemas.positions import Position
from schemas.signatures import SigningKeys
from service.answers import Answer, state_answer
from service.callers import Caller
from service.feedback import FeedbackReader
from service.kafka_clients import Clients, Connection
from service.ownership import may_read, owner_by_dispatch, owner_by_event
from service.problems import NO_SUCH_DISPATCH, NOT_LATELY_SEEN, TRY_AGAIN, Problem
from service.recent_dispatches import RecentDispatch, RecentDispatches

_DISPATCH_ID = re.compile(r"[0-9a-f]{32}")
_CLOCKS = timedelta(seconds=2)
"""Two partitions' append times come from two brokers' clocks; reading a little more costs almost nothing."""


@dataclass(frozen=True)
class _Found:
    """An event, and its dispatch as far as it is known."""

    event: Event
    dispatch: Dispatch | None
    appended_at: datetime


class Lookup:
    """Answers callers who ask for the state of a dispatch."""

    def __init__(
        self,
        connection: Connection,
        topics: Topics,
        recent: RecentDispatches,
        keys: SigningKeys,
        feedback: FeedbackReader,
    ) -> None:
        self._connection = connection
        self._topics = topics
        self._recent = recent
        self._keys = keys
        self._feedback = feedback

    async def answer(self, dispatch_id: str, at: str | None, reader: Caller) -> Answer:
        """
        Return the state of a dispatch, with the feedback about its e-mails.

        Feedback comes for weeks, so it is read from Kafka for every answer about an e-mail that SES has or may have,
        also if the dispatch itself was seen here recently. If Kafka does not answer, neither does the facade: an answer
        without feedback would mean that there is none, and a caller could act on that. The outcome is only delayed.

        Raises:
            Problem: if there is none, if *reader* may not read it (both look the same), or if Kafka does not answer.
        """
        found = await self._find(dispatch_id, at, reader)
        try:
            feedback = await self._feedback.read(self._connection.clients, found.dispatch)
        except (KafkaError, OSError, TimeoutError) as error:
            raise _try_again() from error
        return state_answer(found.event, found.dispatch, found.appended_at, feedback)

    async def _find(self, dispatch_id: str, at: str | None, reader: Caller) -> _Found:
        if not _DISPATCH_ID.fullmatch(dispatch_id):
            raise Problem(NO_SUCH_DISPATCH, "The id is malformed: it must be 32 lower-case hex digits.")
        known = self._recent.get(dispatch_id)
        called_here = _called_here(reader, known)
        if not called_here and not self._keys:
            raise _not_seen_recently()  # nothing proves whose event it is, so not even its existence is revealed
        if at is None:
            return await self._without_position(dispatch_id, known, reader, called_here=called_here)
        position = self._parse(at, dispatch_id)
        if called_here and known and known.event and known.published and known.dispatch and known.dispatch.final:
            published = known.published
            if published.position == position:
                return _Found(known.event, known.dispatch, published.appended_at)
        return await self._read(dispatch_id, position, reader, called_here=called_here)

    async def _without_position(
        self, dispatch_id: str, known: RecentDispatch | None, reader: Caller, *, called_here: bool
    ) -> _Found:
        if called_here and known is not None and known.event is not None and known.published is not None:
            return _Found(known.event, known.dispatch, known.published.appended_at)
        if known is None or known.dispatch is None or not may_read(reader, owner_by_dispatch(known.dispatch)):
            raise _not_seen_recently()
        return await self._read(dispatch_id, known.dispatch.origin.position, reader, called_here=called_here)

    def _parse(self, at: str, dispatch_id: str) -> Position:
        try:
            position = Position.parse(at)
        except ValueError:
            detail = f"`at` is malformed: it must be topic-partition-offset, such as {self._topics.events[0]}-0-42."
            raise Problem(NO_SUCH_DISPATCH, detail, dispatch_id=dispatch_id) from None
        if position.topic not in self._topics.events:
            raise _no_such(dispatch_id)
        return position

    async def _read(self, dispatch_id: str, position: Position, reader: Caller, *, called_here: bool) -> _Found:
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
        return _Found(event, dispatch, record.appended_at)

    def _event(self, record: Record | None, dispatch_id: str) -> tuple[Event | None, str | None]:
        """
        Return the event in *record*, and the caller that it names if a signature proves it.

        The event is None if it is another one, or if it claims to be a facade's without proof.
        """
        found = None if record is None else sound_event(record, self._keys)
        if found is None or found[0].dispatch_id != dispatch_id:
            return None, None
        event, believed = found
        return event, owner_by_event(believed.headers)

    async def _dispatch(self, clients: Clients, event: Record, dispatch_id: str) -> Dispatch | None:
        place = Place(self._topics.dispatches, event.partition)
        records = await clients.records.read_from(place, event.appended_at - _CLOCKS, key=dispatch_id.encode())
        found = [dispatch for record in records if (dispatch := parse_dispatch(record.value))]
        known = self._recent.get(dispatch_id)
        if known is not None and known.dispatch is not None:
            found.append(known.dispatch)  # of a repeated event, records may lie before it
        return reduce(fold, found) if found else None


def _called_here(reader: Caller, known: RecentDispatch | None) -> bool:
    """Return whether *reader* made the call on this facade, which needs no proof; an operator reads all."""
    return may_read(reader, known.caller if known is not None else None)


def _not_seen_recently() -> Problem:
    detail = "This facade has not seen the dispatch recently; ask with the `at` of the Location of its 202."
    return Problem(NOT_LATELY_SEEN, detail)


def _no_such(dispatch_id: str) -> Problem:
    return Problem(NO_SUCH_DISPATCH, "There is no event of this dispatch at that position.", dispatch_id=dispatch_id)


def _try_again() -> Problem:
    return Problem(TRY_AGAIN, "Kafka does not answer at the moment.", headers={"Retry-After": "1"})
