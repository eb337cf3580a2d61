"""Takes a ledger's records in at the rate they come: of nearly all of them, no more than a glimpse is read."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from consumers.ledger.ledger import Ledger
from consumers.ledger.partial_read import Seen, glimpse_call, glimpse_seen, glimpse_told
from runtime.kafka.batches import Batch
from runtime.kafka.checked_batches import Raw
from schemas.dispatch import MAX_DISPATCH_BYTES, dispatch_id_of, parse_dispatch
from schemas.headers import is_final

log = structlog.get_logger(__name__)

_NOT_LOOKED_FOR = Seen()
_NOTHING: list[tuple[int, bytes]] = []


class Loading:
    """
    One reading of a ledger.

    Intents are held until their final record comes; of the two no more than their places is kept. What is held at the
    end is read in `finish`: it is what was under way. What came since *recent_since_ms* may come again soon, or be
    repeated by its caller: of that the copy seen through and the call are looked for, too.
    """

    def __init__(self, ledger: Ledger, *, recent_since_ms: int) -> None:
        self._ledger = ledger
        self._recent_since_ms = recent_since_ms
        self._held: dict[bytes, list[tuple[int, bytes]]] = {}

    def take(self, batches: Iterable[Batch]) -> None:
        """Take in records, in the order of the log."""
        for batch in batches:
            if not batch.is_control_batch:
                for record in batch:
                    self._take(record, record.offset, record.key, record.value)
            self._ledger.read_up_to(batch.next_offset)

    def finish(self) -> None:
        """Read what is held, once no more is taken."""
        for key, records in self._held.items():
            self._read(key, records)
        self._held = {}

    def _take(self, record: Raw, offset: int, key: bytes | None, value: bytes | None) -> None:
        ledger = self._ledger
        if offset < ledger.next_offset or key is None or value is None or ledger.has_written(offset):
            return
        if len(value) > MAX_DISPATCH_BYTES:
            self._read(key, [*self._held.pop(key, _NOTHING), (offset, value)])  # never held: it is no dispatch
            return
        recent = record.timestamp >= self._recent_since_ms
        called = recent and self._take_call(record.timestamp, value)
        if not is_final(record.headers):
            self._held.setdefault(key, []).append((offset, value))
            return
        before = self._held.pop(key, _NOTHING)
        seen = _NOT_LOOKED_FOR if not recent else glimpse_seen(value) if called else None
        if seen is None or len(before) > 1 or not self._glimpsed(offset, key, value, before, seen):
            self._read(key, [*before, (offset, value)])

    def _glimpsed(self, offset: int, key: bytes, value: bytes, before: list[tuple[int, bytes]], seen: Seen) -> bool:
        told = glimpse_told(key, value)
        first = before[0][0] if before else offset
        return told is not None and self._ledger.read_final(offset, key.decode(), first=first, told=told, seen=seen)

    def _take_call(self, appended_at_ms: int, value: bytes) -> bool:
        """Take in whose call it was; False if that cannot be told at a glimpse."""
        called = glimpse_call(value)
        if called is not None:
            self._ledger.take_last_call(called, appended_at_ms, value)
        return called is not None

    def _read(self, key: bytes, records: list[tuple[int, bytes]]) -> None:
        for offset, value in records:
            take_record(self._ledger, offset, key, value)


def take_record(ledger: Ledger, offset: int, key: bytes | None, value: bytes | None) -> str | None:
    """Take a record in; give the dispatch's id where its owner must settle it."""
    if ledger.has_written(offset):
        ledger.read(offset, None)
        return None
    dispatch, dispatch_id = parse_dispatch(value), dispatch_id_of(key)
    if dispatch is None and value is not None and dispatch_id is not None:
        log.error("ledger.record.unreadable", dispatch=dispatch_id, offset=offset)
        ledger.read_unreadable(offset, dispatch_id)
        return None
    late = ledger.read(offset, dispatch)
    return dispatch.dispatch_id if late and dispatch is not None else None
