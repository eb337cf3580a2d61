"""
The steps of processing a record. A replica may die between any two of them, and nothing may be lost or misreported.

A listener is called as soon as each step is done. Production has none; `tests/crash_points` kills the process there.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Step(StrEnum):
    """A step that was just done, while the next has not begun. The listener also gets what it was done for."""

    TAKEN = "taken"
    """A record is at the head of its lane. For: its topic, partition and offset."""
    MOVED = "moved"
    """A misplaced record was published in its right place. For: its dispatch."""
    INTENT_RECORDED = "intent_recorded"
    """`sending` is durable; SES was not called. For: a dispatch."""
    ANSWERED = "answered"
    """SES has answered, or not in time, for every recipient. For: a dispatch."""
    PENDING_RECORDED = "pending_recorded"
    """A state that is not final is durable. For: a dispatch."""
    DEAD_LETTER_RECORDED = "dead_letter_recorded"
    """A dead letter is durable. For: its dispatch, or its position if it has none."""
    OUTCOME_RECORDED = "outcome_recorded"
    """The final state is durable. For: a dispatch."""
    COMMITTING = "committing"
    """Records are finished, and their offsets are about to be committed."""
    COMMITTED = "committed"
    """Offsets are committed."""
    DRAINED = "drained"
    """Partitions are being revoked: all that passed the gate has ended. For: their numbers."""
    GIVEN_UP = "given_up"
    """Their last offsets are committed; the group does not know yet that they are free. For: their numbers."""
    LEDGER_BATCH_READ = "ledger_batch_read"
    """One batch of a ledger was read while it was loaded. For: the partition's number."""
    FEEDBACK_RECORDED = "feedback_recorded"
    """What messages of the queue say is durable; they are not deleted from the queue yet."""
    SETTLED = "settled"
    """Feedback settled a lost answer, and the dispatch is durable. For: a dispatch."""
    SUPPRESSED = "suppressed"
    """A suppression is durable. For: the dispatch whose e-mail caused it."""
    ESCALATED = "escalated"
    """The event that tells a coordinator is durable. For: the dispatch that did not reach the mentor."""


Reached = Callable[[Step, str], None]


def nobody_listens(_step: Step, _of: str) -> None:
    """Do nothing."""
