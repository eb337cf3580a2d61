"""Remember the dispatches that this facade has seen recently: calls made here, and records that any replica wrote."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from runtime.kafka.publisher import Published
from schemas.dispatch import Dispatch, fold, parse_dispatch
from schemas.events import Event

_MAX_UNREAD = 4


@dataclass(slots=True)
class RecentDispatch:
    """What this facade knows of one dispatch."""

    dispatch_id: str
    event: Event | None = None
    """The event, if this facade published it."""
    published: Published | None = None
    caller: str | None = None
    """The name of the caller whose call this facade took."""
    _folded: Dispatch | None = None
    _unread: list[bytes] = field(default_factory=list)

    @property
    def dispatch(self) -> Dispatch | None:
        """Return the fold of all its records; they are parsed only now, since hardly anybody asks."""
        for value in self._unread:
            read = parse_dispatch(value)
            if read is not None and read.dispatch_id == self.dispatch_id:
                self._folded = read if self._folded is None else fold(self._folded, read)
        self._unread.clear()
        return self._folded

    def add(self, value: bytes) -> None:
        """Add the value of a record."""
        self._unread.append(value)
        if len(self._unread) > _MAX_UNREAD:
            _ = self.dispatch


class RecentDispatches:
    """The dispatches seen recently, at most *limit*; the one longest untouched is forgotten first."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[str, RecentDispatch] = OrderedDict()

    def get(self, dispatch_id: str) -> RecentDispatch | None:
        """Return what is known of a dispatch."""
        return self._known.get(dispatch_id)

    def add_call(self, event: Event, published: Published, *, caller: str) -> None:
        """Remember an event that this facade published for *caller*, unless its id was used for other content."""
        known = self._touch(event.dispatch_id)
        known.caller = caller
        first = known.dispatch or known.event
        if first is None or first.digest == event.digest:
            known.event, known.published = event, published

    def add_record(self, dispatch_id: str, value: bytes) -> None:
        """Remember the value of a dispatch's record."""
        self._touch(dispatch_id).add(value)

    def _touch(self, dispatch_id: str) -> RecentDispatch:
        known = self._known.get(dispatch_id)
        if known is None:
            known = self._known[dispatch_id] = RecentDispatch(dispatch_id)
            if len(self._known) > self._limit:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(dispatch_id)
        return known
