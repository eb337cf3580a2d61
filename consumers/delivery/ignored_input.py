"""Counts and logs what the replica ignores in an event: unknown fields, and a time that it cannot read."""

from __future__ import annotations

import structlog

from consumers.metrics import Metrics
from schemas.events import Event

log = structlog.get_logger(__name__)

_MAX_LOGGED = 100


class IgnoredInput:
    """Counts every case; logs each field name and each source once, a hundred of either at most."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._fields: set[str] = set()
        self._sources: set[str] = set()

    def count(self, event: Event) -> None:
        """Count what is ignored in an event."""
        if event.unknown_fields:
            self._metrics.unknown_fields.inc()
            for name in event.unknown_fields:
                if _is_new(name, self._fields):
                    log.warning("event.unknown_field", field=name[:100], type=event.kind.type)
        if event.time_unreadable:
            self._metrics.unreadable_times.labels(source=event.source).inc()
            if _is_new(event.source, self._sources):
                log.warning("event.time_unreadable", source=event.source[:100], dispatch=event.dispatch_id)


def _is_new(name: str, logged: set[str]) -> bool:
    if name in logged or len(logged) >= _MAX_LOGGED:
        return False
    logged.add(name)
    return True
