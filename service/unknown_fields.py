"""Count fields that the contract does not know, and log each name once; they are otherwise ignored."""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from prometheus_client import Counter

from runtime.first_seen import FirstSeen

log = structlog.get_logger(__name__)

_MAX_NAMES = 1000
_MAX_LENGTH = 64


class UnknownFields:
    """Counts unknown fields; it remembers a bounded number of names that were logged."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._logged = FirstSeen(_MAX_NAMES)

    def note(self, endpoint: str, fields: Iterable[str]) -> None:
        """Count *fields*, and log those that are new at *endpoint*."""
        for field in fields:
            self._counter.inc()
            if self._logged.is_new((endpoint, field[:_MAX_LENGTH])):
                log.warning("request.field.unknown", endpoint=endpoint, field=ascii(field[:_MAX_LENGTH]))
