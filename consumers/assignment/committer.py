"""Commits the offsets of what is finished."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from consumers.assignment.assignment import Assignment
from consumers.assignment.membership import CommitRefused, Membership
from consumers.metrics import Metrics
from consumers.steps import Reached, Step, nobody_listens
from runtime.kafka.retry import UNAVAILABLE

log = structlog.get_logger(__name__)


class Committer:
    """Commits for the assignments that it is handed, which the caller must own."""

    def __init__(self, membership: Membership, metrics: Metrics, reached: Reached = nobody_listens) -> None:
        self._membership = membership
        self._metrics = metrics
        self._reached = reached

    async def commit(self, assignments: Sequence[Assignment]) -> None:
        """Commit what is finished and not committed yet. A failure is counted and logged; a later commit covers it."""
        finished = {assignment: assignment.lanes.committable() for assignment in assignments}
        offsets = {place: offset for own in finished.values() for place, offset in own.items()}
        if not offsets:
            return
        self._reached(Step.COMMITTING, "")
        try:
            await self._membership.commit(offsets)
        except CommitRefused as error:
            self._metrics.commits.labels(outcome="refused").inc()
            log.warning("group.commit.refused", error=str(error))
            return
        except UNAVAILABLE as error:
            self._metrics.commits.labels(outcome="failed").inc()
            log.warning("group.commit.failed", error=type(error).__name__)
            return
        self._reached(Step.COMMITTED, "")
        self._metrics.commits.labels(outcome="committed").inc()
        for assignment, own in finished.items():
            assignment.lanes.committed(own)
