"""Writes suppressions that follow from feedback, and ends those that a delivery disproves."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from consumers.metrics import Metrics
from consumers.steps import Reached, Step
from consumers.suppressions import Suppressions, clear_suppression, publish_suppression
from runtime.kafka.publisher import Publisher
from runtime.kafka.topics import Topics
from schemas.feedback import Feedback, is_hashed
from schemas.signatures import SigningKeys
from schemas.suppressions import SuppressionList, after, clears, list_of, suppression_json, suppression_key

log = structlog.get_logger(__name__)


@dataclass
class Suppressing:
    """
    Applies feedback to the suppressions of a contact. *publisher* retries until a record is durable.

    What is written is applied to the table here at once, since the contact's next bounce builds on it.
    """

    suppressions: Suppressions
    publisher: Publisher
    topics: Topics
    partitions: int
    keys: SigningKeys
    metrics: Metrics
    reached: Reached

    def may_concern(self, feedback: Feedback) -> bool:
        """Return whether good news may end a row of bounces; a tag that is a hash hides which contact's."""
        tag = feedback.recipient
        return is_hashed(tag) or self.suppressions.entry(SuppressionList.TRANSIENT, tag) is not None

    async def apply(self, feedback: Feedback, contact_id: str) -> None:
        """Write what follows. Call it inside `Assignment.uninterruptible`."""
        on = list_of(feedback)
        known = self.suppressions.entry(on, contact_id)
        if clears(feedback, known):
            await self._clear(on, contact_id)
            return
        found = after(feedback, contact_id, known)
        if found is None:
            return
        topic = self.topics.suppressions
        await publish_suppression(self.publisher, topic, self.partitions, self.keys, found)
        self.suppressions.take(suppression_key(on, contact_id), suppression_json(found))
        self.metrics.suppressions_written.labels(reason=found.reason).inc()
        log.warning("suppression.written", contact=contact_id[:128], reason=found.reason.value, detail=found.detail)
        self.reached(Step.SUPPRESSED, feedback.dispatch_id)

    async def _clear(self, on: SuppressionList, contact_id: str) -> None:
        await clear_suppression(self.publisher, self.topics.suppressions, self.partitions, self.keys, on, contact_id)
        self.suppressions.take(suppression_key(on, contact_id), None)
        self.metrics.suppressions_written.labels(reason="cleared").inc()
        log.info("suppression.cleared", contact=contact_id[:128])
