"""One delivery of an event while it is processed."""

from __future__ import annotations

from dataclasses import dataclass

from consumers.assignment.assignment import Assignment
from consumers.delivery.decisions import Delivery
from runtime.kafka.records import Record
from schemas.events import Event


@dataclass
class Work:
    """A delivery, the record that brought it, and how far its processing is."""

    record: Record
    event: Event
    delivery: Delivery
    assignment: Assignment
    waits_until: float
    """Monotonic time until which the caller waits; 0 if nobody does."""
    tried_at: float
    """Monotonic time of the previous try; before the first try, when the record was taken."""
    repeated: int = 0
    """How many lost answers were counted as settled by resending."""
    failures: int = 0
