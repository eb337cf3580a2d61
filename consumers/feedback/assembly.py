"""Builds what handles records of feedback, from parts that the replica has."""

from __future__ import annotations

from consumers.delivery.assembly import RecordProcessing
from consumers.feedback.handling import FeedbackHandling
from consumers.feedback.suppressing import Suppressing
from consumers.metrics import Metrics
from consumers.steps import Reached
from consumers.suppressions import Suppressions
from runtime.clock import Clock
from runtime.kafka.topics import Topics
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
    """Build it."""
    store, outcomes, letters = processing.store, processing.outcomes, processing.dead_letters
    suppressing = Suppressing(suppressions, store.durable, topics, partitions, keys, metrics, reached)
    escalation, unconfirmed = outcomes.escalation, outcomes.unconfirmed
    return FeedbackHandling(store, suppressing, escalation, unconfirmed, letters, keys, clock, metrics, reached)
