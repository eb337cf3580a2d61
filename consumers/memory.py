"""What is known of a dispatch, and how a new state of it becomes durable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import reduce
from typing import Protocol, TypeVar

import structlog
from aiokafka.errors import KafkaError

from consumers.owned import GivenUp, Owned
from consumers.writing import Writing
from runtime.backoff import backoff_seconds
from runtime.clock import Clock
from runtime.kafka.publisher import Published, PublishError
from schemas.dispatch import Dispatch, fold

log = structlog.get_logger(__name__)
T = TypeVar("T")

_WRITE_AGAIN_BASE_SECONDS = 0.1
_WRITE_AGAIN_MOST_SECONDS = 2.0


class Dispatches(Protocol):
    """Where dispatch records are read back."""

    async def read(self, number: int, offset: int) -> Dispatch | None:
        """Give the record at *offset* of partition *number*, or None where there is none any more."""
        ...


class Memory:
    """Reads and writes dispatches of an owned partition, its ledger kept in step."""

    def __init__(self, writing: Writing, dispatches: Dispatches, clock: Clock, random: Callable[[], float]) -> None:
        self._writing = writing
        self._dispatches = dispatches
        self._clock = clock
        self._random = random

    async def known(self, owned: Owned, dispatch_id: str) -> Dispatch | None:
        """Give the dispatch as it is known, read back where it is final."""
        known = owned.ledger.get(dispatch_id)
        if known is None or known.dispatch is not None:
            return None if known is None else known.dispatch
        return await self.read_back(owned, known.offsets)

    async def read_back(self, owned: Owned, offsets: list[int]) -> Dispatch | None:
        """Give the fold of the records at *offsets*, trying until Kafka answers."""
        found: list[Dispatch] = []
        for offset in list(offsets):
            failures = 0
            while True:
                owned.check()
                try:
                    dispatch = await self._dispatches.read(owned.number, offset)
                except (KafkaError, TimeoutError, OSError) as error:
                    failures += 1
                    log.warning("ledger.read.failed", partition=owned.number, error=type(error).__name__)
                    await self._clock.sleep(self._write_again(failures))
                    continue
                found += [dispatch] if dispatch is not None else []
                break
        return reduce(fold, found) if found else None

    async def caught_up(self, owned: Owned, dispatch: Dispatch) -> Dispatch:
        """Fold in what was read since, a final record of a former owner included: asked before anything is sent."""
        known = await self.known(owned, dispatch.dispatch_id)
        return dispatch if known is None else fold(known, dispatch)

    def at_hand(self, owned: Owned, dispatch: Dispatch) -> Dispatch:
        """Fold in what is at hand of a former owner's late writes; readers fold the rest."""
        known = owned.ledger.get(dispatch.dispatch_id)
        if known is None or known.dispatch is None:
            return dispatch
        return fold(known.dispatch, dispatch)

    async def write(self, owned: Owned, dispatch: Dispatch) -> None:
        """Make a state durable, and know it."""
        published: Published = await self.durably(owned, lambda: self._writing.dispatch(owned.number, dispatch))
        owned.ledger.wrote(published.offset, dispatch)

    async def settle(self, owned: Owned, dispatch_id: str) -> None:
        """Fold a late write into a final dispatch, and append the fold where it changed."""
        known = owned.ledger.get(dispatch_id)
        if known is None or not known.final:
            return
        offsets = list(known.offsets)
        records = [(offset, await self.read_back(owned, [offset])) for offset in offsets]
        kept = [(offset, dispatch) for offset, dispatch in records if dispatch is not None]
        if not kept:
            return
        folded = reduce(fold, (dispatch for _, dispatch in kept))
        whole = next((offset for offset, dispatch in reversed(kept) if dispatch == folded), None)
        if whole is not None:
            owned.ledger.settle(dispatch_id, offsets, whole)
            return
        with owned.passage():
            await self.write(owned, folded)

    async def durably(self, owned: Owned, write: Callable[[], Awaitable[T]]) -> T:
        """Write until it is durable; once, where the partition is being given up."""
        failures = 0
        while True:
            try:
                return await write()
            except PublishError as error:
                failures += 1
                log.warning("record.not_durable", partition=owned.number, error=type(error).__name__, detail=str(error))
                if owned.closing:
                    raise GivenUp from error
            await self._clock.sleep(self._write_again(failures))

    def _write_again(self, failures: int) -> float:
        return backoff_seconds(
            failures, base=_WRITE_AGAIN_BASE_SECONDS, ceiling=_WRITE_AGAIN_MOST_SECONDS, random=self._random
        )
