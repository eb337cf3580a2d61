"""Which deliveries wait on the slow side of the gate: those of slow sources, unless another event waits for them."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from consumers.admission.gate import Gate, Permit
from consumers.delivery.work import Work
from runtime.kafka.records import Record
from schemas.headers import header_text

_SOURCE = "ce_source"


@dataclass
class SlowSources:
    """Takes deliveries through the gate."""

    sources: Container[str]
    gate: Gate

    async def enter(self, work: Work, permit: Permit) -> None:
        """
        Wait until *permit* may send.

        A mentor's events are sent in order. So a slow one does not wait as such once a later one of another source
        waits in its lane. Until then its lane is parked: a backlog of slow ones takes no room from what comes behind.
        """
        lanes = work.assignment.lanes
        permit.slow = work.event.source in self.sources and not any(map(self._hastens, lanes.behind(work.record)))
        if not permit.slow:
            await self.gate.enter(permit)
            return

        def hasten(later: Record) -> None:
            if self._hastens(later):
                self.gate.hasten(permit)

        with lanes.parking(work.record, on_admitted=hasten):
            await self.gate.enter(permit)

    def _hastens(self, later: Record) -> bool:
        """Return whether a record is of another source. In structured mode it is not known before its turn."""
        source = header_text(later.headers, _SOURCE)
        return source is not None and source not in self.sources
