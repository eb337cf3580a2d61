"""Planted bugs of feedback, suppressions and escalations: see `mutations`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import count
from typing import Any
from unittest.mock import patch

import consumers.delivery.escalation
import consumers.feedback.handling
from consumers.assignment.assignment import Assignment
from consumers.delivery.lost_answers import LostAnswers
from consumers.feedback.handling import FeedbackHandling
from consumers.feedback.intake import FeedbackIntake
from consumers.feedback.queue import Message
from consumers.suppressions import Suppressions
from schemas.dispatch import Dispatch
from schemas.events import Event
from schemas.feedback import Feedback


def deleted_before_durable() -> AbstractContextManager[Any]:
    """Delete messages from the queue as soon as they are received, so that none comes twice."""
    take = FeedbackIntake.take

    async def early(self: FeedbackIntake, messages: Sequence[Message]) -> None:
        if messages:
            await self.queue.delete(messages)
        await take(self, messages)

    return patch.object(FeedbackIntake, "take", early)


def feedback_passed_over() -> AbstractContextManager[Any]:
    """Handle feedback at once, even of a recipient whose send is under way."""

    async def at_once(self: FeedbackHandling, assignment: Assignment, feedback: Feedback) -> Any:
        dispatch = await self.store.known(assignment, feedback.dispatch_id)
        recipient = None if dispatch is None else consumers.feedback.handling._recipient(dispatch, feedback)
        return None if recipient is None else (dispatch, recipient)

    return patch.object(FeedbackHandling, "_settled_send", at_once)


def not_reconciled() -> AbstractContextManager[Any]:
    """Send again at once after a lost answer, without a wait for feedback."""

    async def reconcile(_self: LostAnswers, _work: Any, dispatch: Dispatch) -> Dispatch:
        return dispatch

    return patch.object(LostAnswers, "reconcile", reconcile)


def escalated_anew() -> AbstractContextManager[Any]:
    """Make up a new id for each escalation."""
    escalation_of, numbers = consumers.delivery.escalation.escalation_of, count()

    def anew(dispatch: Dispatch, cause: Any, at: Any) -> Event:
        event = escalation_of(dispatch, cause, at)
        return replace(event, id=f"{event.id}-{next(numbers)}")

    return patch.object(consumers.delivery.escalation, "escalation_of", anew)


def suppressions_not_looked_at() -> AbstractContextManager[Any]:
    """Compose e-mails to all recipients, whatever the suppressions say."""

    def find(_self: Suppressions, _contact_id: str, _address: str, _now: Any) -> None:
        return None

    return patch.object(Suppressions, "find", find)
