"""
The steps that a record takes. Between any two of them a replica may die, and nothing may be lost or told wrongly.

A listener hears of each step as soon as it is done. Production has none; `tests/crash_points` kills the process there.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Step(StrEnum):
    """What was just done, and the next step not yet begun; beside it what it was done for."""

    TAKEN = "taken"
    """A record is at the head of its lane. For: its topic, partition and offset."""
    MOVED = "moved"
    """A misplaced record was published where it belongs. For: its dispatch."""
    INTENT_RECORDED = "intent_recorded"
    """`sending` is durable; SES was not called. For: a dispatch."""
    ANSWERED = "answered"
    """SES has answered, or not in time, for every recipient. For: a dispatch."""
    PENDING_RECORDED = "pending_recorded"
    """A state that is not final is durable. For: a dispatch."""
    DEAD_LETTER_RECORDED = "dead_letter_recorded"
    """A record was set aside. For: its dispatch, or its place where it has none."""
    OUTCOME_RECORDED = "outcome_recorded"
    """The final state is durable. For: a dispatch."""
    COMMITTING = "committing"
    """Records are finished, and their offsets are about to be committed."""
    COMMITTED = "committed"
    """Offsets are committed."""
    DRAINED = "drained"
    """Partitions are being given up: all that passed the gate has ended. For: their numbers."""
    GIVEN_UP = "given_up"
    """Their last offsets are committed; the group does not know yet that they are free. For: their numbers."""
    LEDGER_BATCH_READ = "ledger_batch_read"
    """One batch of a ledger was read back on taking it up. For: the partition's number."""


Reached = Callable[[Step, str], None]


def nobody_listens(_step: Step, _of: str) -> None:
    """Hear of a step and do nothing."""
