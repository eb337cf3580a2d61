"""Counts and logs what the replica ignores in an event: unknown fields, and a time that it cannot read."""

from __future__ import annotations

import structlog

from consumers.metrics import Metrics
from runtime.first_seen import FirstSeen
from schemas.events import Event

log = structlog.get_logger(__name__)

_MAX_LOGGED = 100


class IgnoredInput:
    """Counts every case; logs each field name and each source once, a hundred of either at most."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._fields = FirstSeen(_MAX_LOGGED)
        self._sources = FirstSeen(_MAX_LOGGED)

    def count(self, event: Event) -> None:
        """Count what is ignored in an event."""
        if event.unknown_fields:
            self._metrics.unknown_fields.inc()
            for name in event.unknown_fields:
                if self._fields.is_new(name):
                    log.warning("event.unknown_field", field=name[:100], type=event.kind.type)
        if event.time_unreadable:
            self._metrics.unreadable_times.labels(source=event.source).inc()
            if self._sources.is_new(event.source):
                log.warning("event.time_unreadable", source=event.source[:100], dispatch=event.dispatch_id)
