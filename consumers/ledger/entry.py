"""What is known of one dispatch: the offsets of its records, and those records that are in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce

from schemas.dispatch import Dispatch, fold


@dataclass(slots=True)
class LedgerEntry:
    """The records whose fold is a dispatch: only one if one of them holds all of it."""

    records: dict[int, Dispatch | None] = field(default_factory=dict)
    """By offset; None is one that is not in memory. Of a dispatch that is not final, all read since it was are."""
    processed: dict[str, int] = field(default_factory=dict)
    """By topic: the offset of the event's last delivery that was processed."""
    final: bool = False
    """Whether nothing more happens by itself, as far as that is known without the records not in memory."""
    has_recipients: bool = False
    """Whether any record names recipients: the first that does continues an `unknown_mentor`."""
    unreadable: bool = False
    """Whether this release cannot read one of the records, which a newer one wrote: it must not be guessed."""

    @property
    def offsets(self) -> list[int]:
        """Return the offsets of the records, ascending."""
        return sorted(self.records)

    @property
    def missing(self) -> list[int]:
        """Return the offsets of the records that are not in memory, ascending."""
        return [offset for offset in self.offsets if self.records[offset] is None]

    @property
    def dispatch(self) -> Dispatch | None:
        """Return the dispatch if all its records are in memory: as a rule, if it is not final."""
        return None if self.missing else self.folded()

    def folded(self, others: Mapping[int, Dispatch | None] | None = None) -> Dispatch | None:
        """Return the fold of the records in memory and of *others*; None if there are none."""
        found = {**(others or {}), **{offset: record for offset, record in self.records.items() if record is not None}}
        records = [record for _, record in sorted(found.items()) if record is not None]
        return reduce(fold, records) if records else None

    def has_processed(self, topic: str, offset: int) -> bool:
        """Return whether the delivery at *offset* of *topic* is the very one that was processed last."""
        return offset == self.processed.get(topic)

    def add(self, offset: int, dispatch: Dispatch) -> None:
        """Add a record."""
        self.records[offset] = dispatch
        self._condense()

    def add_unreadable(self, offset: int) -> None:
        """Add a record that cannot be read: the dispatch counts as final."""
        self.records[offset] = None
        self.final = self.unreadable = True

    def add_read_back(self, found: Mapping[int, Dispatch | None]) -> None:
        """Add records that were not in memory; drop those that are gone, unless all are."""
        for offset in self.records.keys() & found.keys():
            self.records[offset] = found[offset]
        gone = [offset for offset in self.missing if offset in found]
        if len(gone) < len(self.records):
            for offset in gone:
                del self.records[offset]
        self._condense()

    def keep_offsets_only(self) -> None:
        """Drop the records from memory."""
        self.records = dict.fromkeys(self.records)

    def _condense(self) -> None:
        """Keep only the records that the fold needs, and note what the fold says."""
        folded = self.folded()
        if folded is None or self.unreadable:
            return
        self.processed |= {topic: max(at, self.processed.get(topic, -1)) for topic, at in folded.seen_through.items()}
        whole = next(
            (at for at in reversed(self.offsets) if self.records[at] is folded or self.records[at] == folded), None
        )
        if whole is not None:
            self.records = {at: record for at, record in self.records.items() if record is None or at == whole}
        # A final state that is not in memory is continued by a reopened recipient, or by the first named ones.
        continues = any(recipient.round or not self.has_recipients for recipient in folded.recipients)
        self.final = folded.final or (self.final and bool(self.missing) and not continues)
        self.has_recipients = self.has_recipients or bool(folded.recipients)
