"""Compare each event with those before it in what is checked: a second one with the same id is a duplicate."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from schemas.dead_letters import DeadLetterReason
from schemas.verdict import Verdict

_MOST = 100_000
"""How many events are kept, in about 50 MB: the newest."""


@dataclass
class EarlierRecords:
    """Keeps where each event was, and what it says."""

    _found: dict[str, tuple[str, str]] = field(default_factory=dict, init=False)
    """By dispatch: place and digest of its first event."""

    def compared(self, verdict: Verdict) -> Verdict:
        """Return the verdict about a record after those before it; they count as published."""
        event = verdict.event
        if event is None or verdict.reason or verdict.unread:
            return verdict
        where, digest = self._found.setdefault(event.dispatch_id, (verdict.where, event.digest))
        if where == verdict.where:
            if len(self._found) > _MOST:
                del self._found[next(iter(self._found))]
            return verdict
        if digest == event.digest:
            return replace(verdict, notes=(*verdict.notes, f"a duplicate of {where}, so no further e-mail follows"))
        detail = f"id: {where} has the same source, id and mentor, and another type or other data"
        return replace(verdict, reason=DeadLetterReason.CONFLICTING_DUPLICATE, detail=detail, told=())
