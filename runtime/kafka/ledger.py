"""The memory of one partition: which dispatches are known, where their records lie, and whether they are final.

It holds places, not records, so that a million final dispatches cost little; only what is not final is kept whole.
Pure: it is told what was read or written, and asks nothing of the outside.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import reduce

from schemas.dispatch import Dispatch, Verdict, fold, verdict


@dataclass(slots=True)
class Known:
    """What is remembered of one dispatch."""

    offsets: list[int]
    """Where the records lie whose fold is the dispatch, ascending; one where one of them says it all."""
    seen_through: Mapping[str, int]
    rounds: int
    """The highest round of any recipient; -1 while there are no recipients."""
    open: list[tuple[int, Dispatch]] | None
    """While it is not final: those records themselves, ascending by offset."""

    @property
    def final(self) -> bool:
        """Say whether nothing more happens by itself."""
        return self.open is None

    def has_seen(self, topic: str, offset: int) -> bool:
        """Say whether the copy at *offset* of *topic* is a redelivery."""
        return offset <= self.seen_through.get(topic, -1)

    @property
    def dispatch(self) -> Dispatch | None:
        """Give the dispatch where it is not final; a final one is read at its offsets."""
        return None if self.open is None else _folded(self.open)


@dataclass(frozen=True, slots=True)
class LastCall:
    """A mentor's last event in a topic, where it was a REST call without a key."""

    offset: int
    dispatch_id: str = ""
    caller: str = ""
    digest: str = ""
    ended_at: datetime | None = None
    answers_retries: bool = False
    """False where it came otherwise, has not ended, or ended in a 404 or 502, which a caller is right to repeat."""

    def is_retried_by(self, caller: str, digest: str, appended_at: datetime, window: timedelta) -> bool:
        """Say whether a keyless call of now is a repetition of it."""
        if not self.answers_retries or self.ended_at is None or (self.caller, self.digest) != (caller, digest):
            return False
        return self.ended_at > appended_at - window


@dataclass
class Ledger:
    """What is known of one partition's dispatches, as read up to *next_offset* and written since."""

    max_entries: int
    remember_calls: bool = True
    next_offset: int = 0
    dropped: int = 0
    """How many final dispatches were forgotten since the cap was reached."""
    _known: dict[str, Known] = field(default_factory=dict)
    _written: set[int] = field(default_factory=set)
    _last_calls: dict[tuple[str, str], LastCall] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, dispatch_id: str) -> Known | None:
        """Give what is known of a dispatch."""
        return self._known.get(dispatch_id)

    def last_call(self, mentor_id: str, topic: str) -> LastCall | None:
        """Give the mentor's last event in *topic* where it was a keyless call."""
        return self._last_calls.get((mentor_id, topic))

    def has_written(self, offset: int) -> bool:
        """Say whether its owner wrote the record at *offset* and has not read it back yet."""
        return offset in self._written

    def wrote(self, offset: int, dispatch: Dispatch) -> None:
        """Take in a record that this ledger's owner wrote."""
        if offset < self.next_offset:
            return  # it was read before its acknowledgement came
        self._written.add(offset)
        known = self._known.get(dispatch.dispatch_id)
        if known is not None and known.final and _goes_on(dispatch, known):
            del self._known[dispatch.dispatch_id]
        self._take(offset, dispatch)

    def read(self, offset: int, dispatch: Dispatch | None) -> bool:
        """
        Take in what was read at *offset* (None: nothing of ours), and count the log as read up to behind it.

        Gives True where a record came late to a final dispatch: its owner then folds the records and settles it.
        """
        self.next_offset = max(self.next_offset, offset + 1)
        if offset in self._written:
            self._written.discard(offset)
            return False
        if dispatch is None:
            return False
        known = self._known.get(dispatch.dispatch_id)
        if known is not None and known.final and _goes_on(dispatch, known):
            del self._known[dispatch.dispatch_id]
            known = None
        late = known is not None and known.final
        self._take(offset, dispatch)
        return late

    def settle(self, dispatch_id: str, offsets: list[int], at: int) -> None:
        """Say that of the records at *offsets* the one at *at* says it all."""
        known = self._known.get(dispatch_id)
        if known is not None and known.final:
            known.offsets = sorted({*known.offsets} - {*offsets} | {at})

    def _take(self, offset: int, dispatch: Dispatch) -> None:
        known = self._known.get(dispatch.dispatch_id)
        if known is None:
            known = self._known[dispatch.dispatch_id] = Known([], {}, -1, [])
        _add(known, offset, dispatch)
        self._remember_call(dispatch)
        self._enforce_cap()

    def _remember_call(self, dispatch: Dispatch) -> None:
        if not self.remember_calls:
            return
        place = (dispatch.mentor_id, dispatch.origin.topic)
        last = self._last_calls.get(place)
        if last is not None and last.offset > dispatch.origin.offset:
            return
        request = dispatch.request
        if request is None or not request.keyless:
            self._last_calls[place] = LastCall(dispatch.origin.offset)
            return
        self._last_calls[place] = LastCall(
            offset=dispatch.origin.offset,
            dispatch_id=dispatch.retry_of or dispatch.dispatch_id,
            caller=request.caller,
            digest=dispatch.digest,
            ended_at=dispatch.ended_at,
            answers_retries=verdict(dispatch) in {Verdict.ENDED, Verdict.UNDELIVERABLE},
        )

    def _enforce_cap(self) -> None:
        if len(self._known) <= self.max_entries:
            return
        oldest = next((key for key, known in self._known.items() if known.final), None)
        if oldest is not None:
            del self._known[oldest]
            self.dropped += 1
        if len(self._last_calls) > self.max_entries:
            del self._last_calls[next(iter(self._last_calls))]


def _folded(records: list[tuple[int, Dispatch]]) -> Dispatch:
    return reduce(fold, (dispatch for _, dispatch in records))


def _goes_on(dispatch: Dispatch, known: Known) -> bool:
    """Say whether a record goes on from a final dispatch: reopened, or with a further copy seen through."""
    if _rounds(dispatch) > known.rounds:
        return True
    seen = dispatch.seen_through
    return any(seen.get(topic, -1) > known.seen_through.get(topic, -1) for topic in seen) and dispatch.final


def _rounds(dispatch: Dispatch) -> int:
    return max((recipient.round for recipient in dispatch.recipients), default=-1)


def _add(known: Known, offset: int, dispatch: Dispatch) -> None:
    """Add a record and keep only what the fold needs."""
    insort(known.offsets, offset)
    topics = {*known.seen_through, *dispatch.seen_through}
    known.seen_through = {
        topic: max(known.seen_through.get(topic, -1), dispatch.seen_through.get(topic, -1)) for topic in topics
    }
    known.rounds = max(known.rounds, _rounds(dispatch))
    if known.open is None:
        return
    insort(known.open, (offset, dispatch), key=lambda pair: pair[0])
    folded = _folded(known.open)
    whole = next((pair for pair in reversed(known.open) if pair[1] == folded), None)
    if whole is not None:
        known.open, known.offsets = [whole], [whole[0]]
    if folded.final:
        known.open = None
