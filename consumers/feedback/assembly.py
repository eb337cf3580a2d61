"""Builds what takes feedback from the queue, and what handles its records, from parts that the replica has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from consumers.delivery.assembly import RecordProcessing
from consumers.feedback.handling import FeedbackHandling
from consumers.feedback.intake import FeedbackIntake
from consumers.feedback.messages import AllowList
from consumers.feedback.queue import EventQueue
from consumers.feedback.suppressing import Suppressing
from consumers.metrics import Metrics
from consumers.steps import Reached
from consumers.suppressions import Suppressions
from runtime.clock import Clock
from runtime.kafka.publisher import Publisher
from runtime.kafka.topics import Topics
from runtime.rarely import Rarely
from schemas.signatures import SigningKeys


def feedback_handling(
    processing: RecordProcessing,
    suppressions: Suppressions,
    clock: Clock,
    *,
    topics: Topics,
    partitions: int,
    keys: SigningKeys,
    metrics: Metrics,
    reached: Reached,
) -> FeedbackHandling:
    """Build what handles records of feedback."""
    store, outcomes, letters = processing.store, processing.outcomes, processing.dead_letters
    suppressing = Suppressing(suppressions, store.durable, topics, partitions, keys, metrics, reached)
    escalation, unconfirmed = outcomes.escalation, outcomes.unconfirmed
    rarely = Rarely(clock)
    return FeedbackHandling(store, suppressing, escalation, unconfirmed, rarely, letters, keys, clock, metrics, reached)


def feedback_intake(
    queue: EventQueue,
    publisher: Publisher,
    allowed: AllowList,
    clock: Clock,
    *,
    topics: Topics,
    keys: SigningKeys,
    metrics: Metrics,
    random: Callable[[], float],
    read_account: Callable[[], Awaitable[None]],
    connected: Callable[[], bool],
    reached: Reached,
) -> FeedbackIntake:
    """Build the intake."""
    return FeedbackIntake(
        queue, publisher, topics.feedback, allowed, keys, clock, metrics, random, read_account, connected, reached
    )
