"""For how long a message that a replica took is hidden from the others."""

from __future__ import annotations

from consumers.feedback.queue import VISIBILITY_SECONDS, WAIT_SECONDS
from runtime.settings import ReplicaSettings


def _default(name: str) -> float:
    return float(ReplicaSettings.model_fields[name].default)


def test_a_replica_that_dies_takes_no_evidence_along_for_as_long_as_a_lost_answer_waits() -> None:
    """Else an e-mail that SES reported would be sent again."""
    assert VISIBILITY_SECONDS + WAIT_SECONDS < _default("reconcile_seconds")


def test_a_message_does_not_come_again_while_its_record_may_become_durable() -> None:
    """Else each slow write would be done twice."""
    assert VISIBILITY_SECONDS > 2 * _default("record_deadline_seconds")
