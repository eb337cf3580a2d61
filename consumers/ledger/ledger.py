"""The memory of one partition: which dispatches are known, at which offsets their records are, and which are final.

It keeps offsets, not records. Nearly every dispatch ends in one final record that holds all of it, and of that a
`PackedEntry` is kept. A dispatch that is not final, or is spread over several records, has a `LedgerEntry`.
A ledger does no input or output: its owner reports what it read and wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from itertools import islice

from consumers.ledger.entry import LedgerEntry
from consumers.ledger.packed_entry import MAX_OFFSET, MAX_TOPICS, NOT_KNOWN, PackedEntry, pack_fields
from consumers.ledger.partial_read import (
    NO_RECIPIENTS,
    Call,
    Processed,
    is_in_doubt,
    processed_of,
    recipients_fingerprint,
)
from consumers.ledger.retry_window import LastCall, RetryWindow
from schemas.dispatch import Dispatch

Key = bytes | str
"""A dispatch's id in 16 bytes. An id that is not 32 lower-case hex digits, which no program of ours writes, is text."""

_ID_BYTES = 16
_DROPPED_AT_ONCE = 64
"""At the cap, one entry in so many is dropped: finding the oldest takes as long as the number dropped before it."""
_NO_OFFSET = -1
"""The offset of a record that is no longer in the log."""


class Ledger:
    """What is known of one partition's dispatches, as read up to *next_offset* and written since."""

    def __init__(
        self, max_entries: int, *, next_offset: int = 0, retry_window: timedelta = timedelta(seconds=60)
    ) -> None:
        self.next_offset = next_offset
        self.dropped = 0
        """How many final dispatches were dropped since the cap was reached."""
        self._max_entries = max_entries
        self._drop_above = max_entries
        self._packed: dict[Key, bytes] = {}
        """Final dispatches that one record holds, as packed entries; the oldest is first."""
        self._open: dict[Key, LedgerEntry] = {}
        """All others. An id is in one of the two."""
        self._in_doubt: set[Key] = set()
        """Packed dispatches with a recipient at `unknown`."""
        self._gone: set[Key] = set()
        """Final dispatches whose records were deleted with their topic."""
        self._topics: dict[str, int] = {}
        self.written: set[int] = set()
        """The offsets of records that its owner wrote and has not read back yet."""
        self._retry_window = RetryWindow(retry_window)

    def __len__(self) -> int:
        return len(self._packed) + len(self._open)

    def get(self, dispatch_id: str) -> LedgerEntry | None:
        """Return what is known of a dispatch."""
        key = _key(dispatch_id)
        packed = self._packed.get(key)
        if packed is not None:
            return self._unpack(packed)
        entry = self._open.get(key)
        if entry is None and key in self._gone:
            return LedgerEntry({_NO_OFFSET: None}, final=True, unreadable=True)
        return entry

    def is_settled(self, dispatch_id: str) -> bool:
        """Return whether a dispatch is final, and the answer to each of its sends is known."""
        key = _key(dispatch_id)
        return key in self._packed and key not in self._in_doubt

    def last_call(self, mentor_id: str, topic: str) -> LastCall | None:
        """Return the mentor's last event in *topic*."""
        return self._retry_window.get(mentor_id, topic)

    def add_written(self, offset: int, dispatch: Dispatch) -> bool:
        """
        Add a record that this ledger's owner wrote.

        Return whether the dispatch is final, but spread over several records: its owner must then join them.
        """
        if offset < self.next_offset:
            return False  # it was read before its acknowledgement came
        self.written.add(offset)
        entry = self._add(offset, dispatch)
        return entry is not None and entry.final and len(entry.records) > 1

    def add_read(self, offset: int, dispatch: Dispatch | None) -> bool:
        """
        Add what was read at *offset* (None: not a dispatch), and count the log as read up to and including it.

        Return whether the dispatch was final and is now spread over several records: its owner must then join them.
        """
        own = offset in self.written
        self.advance_to(offset + 1)
        if own or dispatch is None:
            return False
        before = self.get(dispatch.dispatch_id)
        was_final = before is not None and before.final
        entry = self._add(offset, dispatch)
        return was_final and entry is not None and len(entry.records) > 1

    def add_unreadable(self, offset: int, dispatch_id: str) -> None:
        """Add a record that this release cannot read: its dispatch counts as final, and is not sent again."""
        self.advance_to(offset + 1)
        entry = self.get(dispatch_id) or LedgerEntry()
        self._packed.pop(_key(dispatch_id), None)
        self._open[_key(dispatch_id)] = entry
        entry.add_unreadable(offset)

    def advance_to(self, next_offset: int) -> None:
        """Count the log as read up to *next_offset*; what was written before it is no longer awaited."""
        if next_offset == self.next_offset + 1:
            self.written.discard(self.next_offset)
        elif self.written:
            self.written = {offset for offset in self.written if offset >= next_offset}
        self.next_offset = max(self.next_offset, next_offset)

    def forget_offsets(self) -> None:
        """
        Forget all offsets, since the topic was recreated, and read the new one from its beginning.

        A final dispatch stays final, so that it is not sent again; its record can no longer be read. A dispatch that is
        not final is in memory, and continues.
        """
        final = [*self._packed, *(key for key, entry in self._open.items() if entry.final)]
        unfinished = {key: entry.folded() for key, entry in self._open.items() if not entry.final}
        self._gone = set(islice((*final, *self._gone), self._max_entries))
        self._packed.clear()
        self._in_doubt.clear()
        self._open.clear()
        self.written.clear()
        self.next_offset = 0
        for key, dispatch in unfinished.items():
            if dispatch is not None:
                self._open[key] = LedgerEntry()
                self._open[key].add(_NO_OFFSET, dispatch)

    def add_final(
        self, key: bytes, fingerprint: int, offset: int, first_offset: int, processed: Processed, *, in_doubt: bool
    ) -> bool:
        """
        Add a final record that was read in part, of a dispatch with at most one other record, at *first_offset*.

        *in_doubt* is whether it may have a recipient at `unknown`.
        Return False, and add nothing, if more is known of the dispatch: the record must then be read in full.
        """
        if key in self._open:
            return False
        packed = self._packed.get(key)
        if packed is not None and PackedEntry.unpack(packed).fingerprint != fingerprint:
            return False
        self._pack(key, offset, first_offset, fingerprint, processed, in_doubt=in_doubt)
        return True

    def add_last_call(self, call: Call, appended_at_ms: int, value: bytes) -> None:
        """Add what recognises a retry of a record's caller."""
        self._retry_window.add_unread(call, appended_at_ms, value)

    def add_read_back(self, dispatch_id: str, found: Mapping[int, Dispatch | None]) -> Dispatch | None:
        """
        Add the records of a final dispatch that were read back, by offset; None is one that is gone.

        Return their fold if no record holds all of it: its owner must then append it.
        """
        key = _key(dispatch_id)
        entry = self._open.get(key)
        if entry is None or entry.unreadable:
            return None
        entry.add_read_back(found)
        folded = entry.dispatch
        self._compact(key, entry)
        return folded if entry.final and len(entry.records) > 1 else None

    def _add(self, offset: int, dispatch: Dispatch) -> LedgerEntry | None:
        """Add a record; return what is known now, unless that was packed."""
        self._retry_window.add(dispatch)
        key = _key(dispatch.dispatch_id)
        entry = self._open.get(key)
        if entry is None:
            packed = self._packed.get(key)
            if packed is not None and dispatch.final:
                fingerprint = recipients_fingerprint(dispatch)
                if PackedEntry.unpack(packed).fingerprint == fingerprint:
                    self._pack(key, offset, offset, fingerprint, processed_of(dispatch), in_doubt=is_in_doubt(dispatch))
                    return None
            self._packed.pop(key, None)
            entry = self._open[key] = LedgerEntry() if packed is None else self._unpack(packed)
        entry.add(offset, dispatch)
        self._compact(key, entry)
        return self._open.get(key)

    def _compact(self, key: Key, entry: LedgerEntry) -> None:
        """Keep no records of a final dispatch; pack it if one record holds all of it."""
        if entry.final:
            (offset, record), *more = entry.records.items()
            if record is not None and not more:
                del self._open[key]
                fingerprint, in_doubt = recipients_fingerprint(record), is_in_doubt(record)
                self._pack(key, offset, offset, fingerprint, processed_of(record), in_doubt=in_doubt)
                return
            entry.keep_offsets_only()
        self._enforce_cap()

    def _pack(
        self, key: Key, offset: int, first_offset: int, fingerprint: int, processed: Processed, *, in_doubt: bool
    ) -> None:
        """
        Keep a final dispatch as a packed entry.

        Of two records with the same recipients one is kept: the one that processed the later delivery, or the later.
        """
        topic, processed_offset = 0, NOT_KNOWN
        if NOT_KNOWN < processed.offset <= MAX_OFFSET:
            topic, processed_offset = self._topics.setdefault(processed.topic, len(self._topics)), processed.offset
            if topic >= MAX_TOPICS:
                topic, processed_offset = 0, NOT_KNOWN
        before = self._packed.pop(key, None)  # so that it becomes the newest
        if before is not None:
            last = PackedEntry.unpack(before)
            if (last.processed_offset, last.offset) > (processed_offset, offset):
                self._packed[key] = before
                return
        self._packed[key] = pack_fields(offset, first_offset, topic, processed_offset, fingerprint)
        if in_doubt:
            self._in_doubt.add(key)
        elif self._in_doubt:
            self._in_doubt.discard(key)
        if len(self._packed) + len(self._open) > self._drop_above:
            self._enforce_cap()

    def _unpack(self, packed: bytes) -> LedgerEntry:
        entry = PackedEntry.unpack(packed)
        known = entry.processed_offset != NOT_KNOWN
        return LedgerEntry(
            dict.fromkeys((entry.first_offset, entry.offset)),
            processed={list(self._topics)[entry.processed_topic]: entry.processed_offset} if known else {},
            final=True,
            has_recipients=entry.fingerprint != NO_RECIPIENTS,
        )

    def _enforce_cap(self) -> None:
        """Drop the oldest packed entries, then final ones that are not packed; never one that is not final."""
        if len(self) <= self._drop_above:
            return
        surplus = len(self) - self._max_entries + self._max_entries // _DROPPED_AT_ONCE
        oldest = list(islice(self._packed, surplus))
        for key in oldest:
            del self._packed[key]
        self._in_doubt.difference_update(oldest)
        others = [key for key, entry in self._open.items() if entry.final][: surplus - len(oldest)]
        for key in others:
            del self._open[key]
        self.dropped += len(oldest) + len(others)
        # If unfinished dispatches alone exceed the cap, they are not searched at every record.
        self._drop_above = self._max_entries if len(self) <= self._max_entries else len(self) * 9 // 8


def _key(dispatch_id: str) -> Key:
    try:
        key = bytes.fromhex(dispatch_id)
    except ValueError:
        return dispatch_id
    return key if len(key) == _ID_BYTES and key.hex() == dispatch_id else dispatch_id
