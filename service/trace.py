"""The W3C trace context of a request, and its id: for problems, logs and the event's headers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

_TRACE_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_VERSION = "00"


@dataclass(frozen=True)
class Trace:
    """One request as part of its trace."""

    trace_id: str
    span_id: str
    flags: str
    request_id: str

    @property
    def parent(self) -> str:
        """Return the `traceparent` to pass on, with this request as the parent."""
        return f"{_VERSION}-{self.trace_id}-{self.span_id}-{self.flags}"


def begin_trace(trace_parent: str | None, new_id: Callable[[], UUID]) -> Trace:
    """Continue the caller's trace, or begin one if the caller's is missing or invalid."""
    known = _known(trace_parent)
    trace_id, flags = known or (new_id().hex, "00")
    return Trace(trace_id=trace_id, span_id=new_id().hex[:16], flags=flags, request_id=str(new_id()))


def _known(text: str | None) -> tuple[str, str] | None:
    found = _TRACE_PARENT.fullmatch((text or "").strip())
    if found is None or found[1] == "ff" or (found[1] == _VERSION and found[5]):
        return None
    if not found[2].strip("0") or not found[3].strip("0"):
        return None
    return found[2], found[4]
