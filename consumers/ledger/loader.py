"""Loads a ledger from whole batches: nearly all records are read in part only."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from consumers.ledger.ledger import Ledger
from consumers.ledger.partial_read import Processed, read_call, read_id, read_processed, read_recipients_fingerprint
from runtime.kafka.batches import Batch
from runtime.kafka.checked_batches import Raw
from schemas.dispatch import MAX_DISPATCH_BYTES, dispatch_id_of, parse_dispatch
from schemas.headers import is_final

log = structlog.get_logger(__name__)

_NOT_READ = Processed()
_NONE: list[tuple[int, bytes]] = []


class Loader:
    """
    Loads records into a ledger.

    An intent is held until its final record comes; then only the offsets of both are kept. What is still held at the
    end was under way: `finish` reads it in full. A record appended since *recent_since_ms* may be redelivered soon, or
    its caller may retry, so its processed delivery and its call are read, too.
    """

    def __init__(self, ledger: Ledger, *, recent_since_ms: int) -> None:
        self._ledger = ledger
        self._recent_since_ms = recent_since_ms
        self._held: dict[bytes, list[tuple[int, bytes]]] = {}

    def load(self, batches: Iterable[Batch]) -> None:
        """Load batches, in the order of the log."""
        for batch in batches:
            if not batch.is_control_batch:
                for record in batch:
                    self._load(record, record.offset, record.key, record.value)
            self._ledger.advance_to(batch.next_offset)

    def finish(self) -> None:
        """Read what is still held."""
        for key, records in self._held.items():
            self._read_in_full(key, records)
        self._held = {}

    def _load(self, record: Raw, offset: int, key: bytes | None, value: bytes | None) -> None:
        ledger = self._ledger
        if offset < ledger.next_offset or key is None or value is None or ledger.has_written(offset):
            return
        if len(value) > MAX_DISPATCH_BYTES:
            self._read_in_full(key, [*self._held.pop(key, _NONE), (offset, value)])  # not a dispatch: never held
            return
        recent = record.timestamp >= self._recent_since_ms
        has_call = recent and self._add_call(record.timestamp, value)
        if not is_final(record.headers):
            self._held.setdefault(key, []).append((offset, value))
            return
        before = self._held.pop(key, _NONE)
        processed = _NOT_READ if not recent else read_processed(value) if has_call else None
        if processed is None or len(before) > 1 or not self._add_final(offset, key, value, before, processed):
            self._read_in_full(key, [*before, (offset, value)])

    def _add_final(
        self, offset: int, key: bytes, value: bytes, before: list[tuple[int, bytes]], processed: Processed
    ) -> bool:
        dispatch_id, fingerprint = read_id(key, value), read_recipients_fingerprint(value)
        if dispatch_id is None or fingerprint is None:
            return False
        first = before[0][0] if before else offset
        return self._ledger.add_final(
            offset, dispatch_id, first_offset=first, fingerprint=fingerprint, processed=processed
        )

    def _add_call(self, appended_at_ms: int, value: bytes) -> bool:
        """Add whose call it was; return False if a partial read does not show it."""
        call = read_call(value)
        if call is not None:
            self._ledger.add_last_call(call, appended_at_ms, value)
        return call is not None

    def _read_in_full(self, key: bytes, records: list[tuple[int, bytes]]) -> None:
        for offset, value in records:
            add_record(self._ledger, offset, key, value)


def add_record(ledger: Ledger, offset: int, key: bytes | None, value: bytes | None) -> str | None:
    """Read a record in full and add it; return the dispatch's id if its owner must join its records."""
    if ledger.has_written(offset):
        ledger.add_read(offset, None)
        return None
    dispatch, dispatch_id = parse_dispatch(value), dispatch_id_of(key)
    if dispatch is None and value is not None and dispatch_id is not None:
        log.error("ledger.record.unreadable", dispatch=dispatch_id, offset=offset)
        ledger.add_unreadable(offset, dispatch_id)
        return None
    spread = ledger.add_read(offset, dispatch)
    return dispatch.dispatch_id if spread and dispatch is not None else None
