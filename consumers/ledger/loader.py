"""Loads a ledger from whole batches: nearly all records are read in part only."""

from __future__ import annotations

import structlog

from consumers.ledger.ledger import Ledger
from consumers.ledger.partial_read import Processed, may_be_in_doubt, read_call, read_final, read_processed
from runtime.kafka.batches import Batch
from runtime.kafka.checked_batches import Raw
from schemas.dispatch import MAX_DISPATCH_BYTES, dispatch_id_of, parse_dispatch
from schemas.headers import is_final

log = structlog.get_logger(__name__)

_NOT_READ = Processed()


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
        self._held: dict[bytes, list[Raw]] = {}

    def load(self, batch: Batch) -> None:
        """Load a batch; it must follow the last one in the log."""
        if not batch.is_control_batch:
            next_offset, written = self._ledger.next_offset, self._ledger.written
            for record in batch.read():
                offset, key, value = record.offset, record.key, record.value
                if offset >= next_offset and key is not None and value is not None and offset not in written:
                    self._load(record, offset, key, value)
        self._ledger.advance_to(batch.next_offset)

    def finish(self) -> None:
        """Read what is still held."""
        for key, records in self._held.items():
            self._read_in_full(key, records)
        self._held = {}

    def _load(self, record: Raw, offset: int, key: bytes, value: bytes) -> None:
        held, before = self._held, self._held.get(key)
        if len(value) > MAX_DISPATCH_BYTES:  # it is not a dispatch, and is never held
            self._read_in_full(key, [*held.pop(key, ()), record])
            return
        is_recent = record.timestamp >= self._recent_since_ms
        processed = self._read_closely(record.timestamp, value) if is_recent else _NOT_READ
        headers = record.headers
        if not headers or not is_final(headers):
            if before is None:
                held[key] = [record]
            else:
                before.append(record)
            return
        if before is None:
            first_offset = offset
        else:
            del held[key]
            first_offset = before[0].offset
        final = read_final(key, value) if before is None or len(before) == 1 else None
        if (
            final is None
            or processed is None
            or not self._ledger.add_final(
                final[0], final[1], offset, first_offset, processed, in_doubt=may_be_in_doubt(value)
            )
        ):
            self._read_in_full(key, [*(before or ()), record])

    def _read_closely(self, appended_at_ms: int, value: bytes) -> Processed | None:
        """Add whose call it was; return the delivery that was processed; None if a partial read does not show both."""
        call = read_call(value)
        if call is None:
            return None
        self._ledger.add_last_call(call, appended_at_ms, value)
        return read_processed(value)

    def _read_in_full(self, key: bytes, records: list[Raw]) -> None:
        for record in records:
            add_record(self._ledger, record.offset, key, record.value)


def add_record(ledger: Ledger, offset: int, key: bytes | None, value: bytes | None) -> str | None:
    """Read a record in full and add it; return the dispatch's id if its owner must join its records."""
    if offset in ledger.written:
        ledger.add_read(offset, None)
        return None
    dispatch, dispatch_id = parse_dispatch(value), dispatch_id_of(key)
    if dispatch is None and value is not None and dispatch_id is not None:
        log.error("ledger.record.unreadable", dispatch=dispatch_id, offset=offset)
        ledger.add_unreadable(offset, dispatch_id)
        return None
    spread = ledger.add_read(offset, dispatch)
    return dispatch.dispatch_id if spread and dispatch is not None else None
