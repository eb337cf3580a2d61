"""What is remembered of one dispatch: where its records lie, and those that are at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce

from schemas.dispatch import Dispatch, fold


@dataclass(slots=True)
class LedgerEntry:
    """The records whose fold is a dispatch: one where one of them says it all."""

    records: dict[int, Dispatch | None] = field(default_factory=dict)
    """By offset; None is one that is not at hand. While it is not final, those read since it was last are."""
    seen_through: dict[str, int] = field(default_factory=dict)
    final: bool = False
    """Whether nothing more happens by itself; where records are not at hand, as far as can be told without them."""
    named: bool = False
    """Whether any of them names recipients: the first that does goes on from `unknown_mentor`."""
    unreadable: bool = False
    """Whether a record is none that this release can read: a newer one's. What it says is not to be guessed."""
    was_packed: bool = False
    """Whether it was taken from what the ledger has packed under the end of its id."""
    apart: bool = False
    """Whether that was another dispatch, whose id ends alike."""

    @property
    def offsets(self) -> list[int]:
        """Return where the records lie, ascending."""
        return sorted(self.records)

    @property
    def missing(self) -> list[int]:
        """Return the offsets of those that are not at hand, ascending."""
        return [offset for offset in self.offsets if self.records[offset] is None]

    @property
    def dispatch(self) -> Dispatch | None:
        """Return the dispatch where all its records are at hand: where it is not final, in general."""
        return None if self.missing else self.folded()

    def folded(self, others: Mapping[int, Dispatch | None] | None = None) -> Dispatch | None:
        """Return the fold of the records at hand, *others* among them; None if there are none."""
        found = {**(others or {}), **{offset: record for offset, record in self.records.items() if record is not None}}
        records = [record for _, record in sorted(found.items()) if record is not None]
        return reduce(fold, records) if records else None

    def has_seen(self, topic: str, offset: int) -> bool:
        """
        Return whether the copy at *offset* of *topic* is the very one that was seen through last.

        Whether an earlier one was, its record says: another event's may have been mistaken for this one's.
        """
        return offset == self.seen_through.get(topic)

    def take(self, offset: int, dispatch: Dispatch) -> None:
        """Add a record."""
        self.records[offset] = dispatch
        self._condense()

    def take_unreadable(self, offset: int) -> None:
        """Add a record that cannot be read: it counts as final."""
        self.records[offset] = None
        self.final = self.unreadable = True

    def read_back(self, found: Mapping[int, Dispatch | None]) -> None:
        """Add records that were not at hand; one that is gone counts no longer, unless it was all."""
        for offset in self.records.keys() & found.keys():
            self.records[offset] = found[offset]
        gone = [offset for offset in self.missing if offset in found]
        if len(gone) < len(self.records):
            self.drop(gone)
        self._condense()

    def drop(self, offsets: list[int]) -> None:
        """Take records out that are not this dispatch's, or gone."""
        for offset in offsets:
            self.records.pop(offset, None)
        self.final = self.final and bool(self.records)

    def let_go(self) -> None:
        """Keep the places of records alone."""
        self.records = dict.fromkeys(self.records)

    def _condense(self) -> None:
        """Keep no more records than the fold needs, and say what it is."""
        folded = self.folded()
        if folded is None or self.unreadable:
            return
        self.seen_through |= {
            topic: max(seen, self.seen_through.get(topic, -1)) for topic, seen in folded.seen_through.items()
        }
        whole = next(
            (at for at in reversed(self.offsets) if self.records[at] is folded or self.records[at] == folded), None
        )
        if whole is not None:
            self.records = {at: record for at, record in self.records.items() if record is None or at == whole}
        # Reopened, or with a mentor who became known, they go on from what was final and is not at hand.
        goes_on = any(told.round or not self.named for told in folded.recipients)
        self.final = folded.final or (self.final and bool(self.missing) and not goes_on)
        self.named = self.named or bool(folded.recipients)
