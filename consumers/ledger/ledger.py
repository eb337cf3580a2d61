"""The memory of one partition: which dispatches are known, where their records lie, and whether they are final.

It holds places, not records: nearly every dispatch ends in one final record that says it all, and of that an id and a
place are kept, packed into two numbers. Only what is not final, or lies in several records, is kept as it is.
Pure: it is told what was read or written, and asks nothing of the outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from itertools import islice

from consumers.ledger.entry import LedgerEntry
from consumers.ledger.partial_read import NOBODY, Called, Seen, seen_of, told_of
from consumers.ledger.retry_window import LastCall, LastCalls
from schemas.dispatch import Dispatch

_DIGITS = 15
"""Of an id's 32 hex digits the last so many are kept: more would cost half as much again. See `tell_apart`."""
_FORGOTTEN_AT_ONCE = 64
"""At the cap one part in so many is forgotten: to find the oldest costs as much as all that was forgotten before it."""
_NOWHERE = -1
"""Where a record lies that is in the log no more."""
_PRINTS = (1 << 32) - 1
_TOPIC_AT, _SEEN_AT, _DISTANCE_AT, _OFFSET_AT = 32, 35, 75, 115
_TOPICS = 1 << _SEEN_AT - _TOPIC_AT
_FAR = 1 << _DISTANCE_AT - _SEEN_AT
"""No event's offset is so great, and no two records of a dispatch lie so far apart."""


class Ledger:
    """What is known of one partition's dispatches, as read up to *next_offset* and written since."""

    def __init__(
        self, max_entries: int, *, next_offset: int = 0, retry_window: timedelta = timedelta(seconds=60)
    ) -> None:
        self.next_offset = next_offset
        self.dropped = 0
        """How many final dispatches were forgotten since the cap was reached."""
        self._max_entries = max_entries
        self._crowded_at = max_entries
        self._packed: dict[int, int] = {}
        """Final dispatches, by the end of their ids: what `_pack` makes of them."""
        self._loose: dict[str, LedgerEntry] = {}
        """All others; one that is here is not looked for among the packed."""
        self._gone: set[int] = set()
        """Final dispatches, by the end of their ids, whose records went with a topic that was made anew."""
        self._topics: dict[str, int] = {}
        self._written: set[int] = set()
        self._last_calls = LastCalls(retry_window)

    def __len__(self) -> int:
        return len(self._packed) + len(self._loose)

    def get(self, dispatch_id: str) -> LedgerEntry | None:
        """Return what is known of a dispatch."""
        known = self._loose.get(dispatch_id)
        if known is not None:
            return known if known.records else None
        key = _key(dispatch_id)
        packed = self._packed.get(key)
        if packed is not None:
            return self._unpacked(packed)
        return LedgerEntry({_NOWHERE: None}, final=True, unreadable=True) if key in self._gone else None

    def last_call(self, mentor_id: str, topic: str) -> LastCall | None:
        """Return the mentor's last event in *topic* where it was a keyless call."""
        return self._last_calls.get(mentor_id, topic)

    def has_written(self, offset: int) -> bool:
        """Return whether its owner wrote the record at *offset* and has not read it back yet."""
        return offset in self._written

    def wrote(self, offset: int, dispatch: Dispatch) -> bool:
        """
        Take in a record that this ledger's owner wrote.

        Gives True if a dispatch is final, but not by one record: its owner then settles it.
        """
        if offset < self.next_offset:
            return False  # it was read before its acknowledgement came
        self._written.add(offset)
        known = self._take(offset, dispatch)
        return known is not None and known.final and len(known.records) > 1

    def read(self, offset: int, dispatch: Dispatch | None) -> bool:
        """
        Take in what was read at *offset* (None: nothing of ours), and count the log as read up to behind it.

        Gives True if a dispatch was final and now is not said by one record: its owner then settles it.
        """
        own = self.has_written(offset)
        self.read_up_to(offset + 1)
        if own or dispatch is None:
            return False
        before = self.get(dispatch.dispatch_id)
        was_final = before is not None and before.final
        known = self._take(offset, dispatch)
        return was_final and known is not None and len(known.records) > 1

    def read_unreadable(self, offset: int, dispatch_id: str) -> None:
        """Take in a record of a dispatch that this release cannot read: it counts as final, and is not sent again."""
        self.read_up_to(offset + 1)
        known = self._loose[dispatch_id] = self.get(dispatch_id) or LedgerEntry()
        known.take_unreadable(offset)

    def read_up_to(self, next_offset: int) -> None:
        """Count the log as read up to before *next_offset*, and forget what was written before it."""
        if next_offset == self.next_offset + 1:
            self._written.discard(self.next_offset)
        elif self._written:
            self._written = {offset for offset in self._written if offset >= next_offset}
        self.next_offset = max(self.next_offset, next_offset)

    def lose_places(self) -> None:
        """
        Forget where records lie, since the topic is another one, and read that from its beginning.

        What was final stays known as final, so that it is not sent again; nobody can read any more what it said. What
        is not final is at hand, and goes on.
        """
        final = [*self._packed, *(_key(each) for each, known in self._loose.items() if known.final)]
        under_way = {each: known.folded() for each, known in self._loose.items() if not known.final}
        self._gone = set(islice((*final, *self._gone), self._max_entries))
        self._packed.clear()
        self._loose.clear()
        self._written.clear()
        self.next_offset = 0
        for each, dispatch in under_way.items():
            if dispatch is not None:
                self._loose[each] = LedgerEntry()
                self._loose[each].take(_NOWHERE, dispatch)

    def read_final(self, offset: int, dispatch_id: str, *, first: int, told: int, seen: Seen) -> bool:
        """
        Take in a final record that was not read, whose dispatch has one more at most, at *first*.

        False, and nothing is taken in, where more is known of the dispatch: then it must be read.
        """
        key = _key(dispatch_id)
        known = self._packed.get(key)
        if dispatch_id in self._loose or (known is not None and known & _PRINTS != told):
            return False
        self._pack(key, offset, first, told, seen)
        return True

    def take_last_call(self, called: Called, appended_at_ms: int, value: bytes) -> None:
        """Take in of a record what a retry of its caller is known by."""
        self._last_calls.take_unread(called, appended_at_ms, value)

    def settle(self, dispatch_id: str, found: Mapping[int, Dispatch | None]) -> Dispatch | None:
        """
        Take in the records of a final dispatch that were read back, by offset; None is one that is gone.

        Gives their fold where none of them says it all: its owner then appends that.
        """
        known = self._loose.get(dispatch_id)
        if known is None or known.unreadable:
            return None
        known.read_back(found)
        folded = known.dispatch
        self._tidy(dispatch_id, known)
        return folded if known.final and len(known.records) > 1 else None

    def tell_apart(self, dispatch_id: str, offset: int) -> None:
        """Say that the record at *offset* is another dispatch's, whose id ends alike."""
        known = self._loose.setdefault(dispatch_id, LedgerEntry())
        known.apart = True
        known.drop([offset])
        self._tidy(dispatch_id, known)

    def _take(self, offset: int, dispatch: Dispatch) -> LedgerEntry | None:
        """Add a record; give what is known now, unless that could be packed."""
        self._last_calls.take(dispatch)
        dispatch_id = dispatch.dispatch_id
        known = self._loose.get(dispatch_id)
        if known is None:
            key = _key(dispatch_id)
            packed = self._packed.get(key)
            if packed is not None and dispatch.final and packed & _PRINTS == (told := told_of(dispatch)):
                self._pack(key, offset, offset, told, seen_of(dispatch))
                return None
            known = self._loose[dispatch_id] = LedgerEntry() if packed is None else self._unpacked(packed)
        known.take(offset, dispatch)
        self._tidy(dispatch_id, known)
        return self._loose.get(dispatch_id)

    def _tidy(self, dispatch_id: str, known: LedgerEntry) -> None:
        """Keep no records of what is final; pack it where one says it all, and nothing else is packed in its place."""
        if known.final:
            key, ((offset, record), *more) = _key(dispatch_id), known.records.items()
            taken = known.apart or (key in self._packed and not known.was_packed)
            if record is not None and not more and not taken:
                del self._loose[dispatch_id]
                self._packed.pop(key, None)
                self._pack(key, offset, offset, told_of(record), seen_of(record))
                return
            known.let_go()
        self._enforce_cap()

    def _pack(self, key: int, offset: int, first: int, told: int, seen: Seen) -> None:
        """
        Keep a final dispatch as one number: where its records lie, what it saw through, what it tells whom.

        Of two records that tell the same one is kept: the one that saw more through, or the later.
        """
        topic, seen_offset = self._topics.setdefault(seen.topic, len(self._topics)), seen.offset + 1
        if topic >= _TOPICS or seen_offset >= _FAR:
            topic = seen_offset = 0
        before = self._packed.pop(key, None)  # so that it is the newest when the oldest is looked for
        if before is not None and (before >> _SEEN_AT & _FAR - 1, before >> _OFFSET_AT) > (seen_offset, offset):
            self._packed[key] = before
            return
        distance = offset - first
        self._packed[key] = (
            offset << _OFFSET_AT | distance << _DISTANCE_AT | seen_offset << _SEEN_AT | topic << _TOPIC_AT | told
        )
        if len(self._packed) + len(self._loose) > self._crowded_at:
            self._enforce_cap()

    def _unpacked(self, packed: int) -> LedgerEntry:
        offset, distance = packed >> _OFFSET_AT, packed >> _DISTANCE_AT & _FAR - 1
        seen, topic = (packed >> _SEEN_AT & _FAR - 1) - 1, packed >> _TOPIC_AT & _TOPICS - 1
        return LedgerEntry(
            dict.fromkeys((offset - distance, offset)),
            seen_through={list(self._topics)[topic]: seen} if seen >= 0 else {},
            final=True,
            named=packed & _PRINTS != NOBODY,
            was_packed=True,
        )

    def _enforce_cap(self) -> None:
        if len(self) <= self._crowded_at:
            return
        surplus = len(self) - self._max_entries + self._max_entries // _FORGOTTEN_AT_ONCE
        oldest = list(islice(self._packed, surplus))
        for key in oldest:
            del self._packed[key]
        others = [each for each, known in self._loose.items() if known.final][: surplus - len(oldest)]
        for each in others:
            del self._loose[each]
            self._packed.pop(_key(each), None)
        self.dropped += len(oldest) + len(others)
        # What is not final is never forgotten; where that alone is too much, it is not looked through at every record.
        self._crowded_at = self._max_entries if len(self) <= self._max_entries else len(self) * 9 // 8


def _key(dispatch_id: str) -> int:
    """Return the end of an id as a number; of one that is no id of ours, any number."""
    try:
        return int(dispatch_id[-_DIGITS:], 16)
    except ValueError:
        return hash(dispatch_id) & (1 << 60) - 1
