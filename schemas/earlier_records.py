"""Compare each event with those before it in what is checked: a second one with the same id is a duplicate."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from schemas.dead_letters import DeadLetterReason
from schemas.judgement import Judgement

_MOST = 100_000
"""How many different events are kept, in about 50 MB: of more, the first are forgotten."""


@dataclass
class EarlierRecords:
    """Keeps where each event was, and what it says."""

    _found: dict[str, tuple[str, str]] = field(default_factory=dict, init=False)
    """By dispatch: place and digest of its first event."""

    def compared(self, judgement: Judgement) -> Judgement:
        """Return the judgement about a record after those before it; they count as published."""
        event = judgement.event
        if event is None or judgement.reason or judgement.unread:
            return judgement
        where, digest = self._found.setdefault(event.dispatch_id, (judgement.where, event.digest))
        if where == judgement.where:
            if len(self._found) > _MOST:
                del self._found[next(iter(self._found))]
            return judgement
        if digest == event.digest:
            note = f"a duplicate of {where}, so no further e-mail follows"
            return replace(judgement, told=(), notes=(*judgement.notes, note))
        detail = f"id: {where} has the same source, id and mentor, and another type or other data"
        return replace(judgement, reason=DeadLetterReason.CONFLICTING_DUPLICATE, detail=detail, told=())
