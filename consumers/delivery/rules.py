"""The settings that the delivery of an event follows."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import timedelta

from consumers.delivery.email_headers import EmailHeaders
from runtime.settings import LostAnswerPolicy
from schemas.allowed_recipients import AllowedRecipients


@dataclass(frozen=True)
class Rules:
    """The settings, in one place."""

    ses_timeout_seconds: float
    record_deadline_seconds: float
    max_attempts: int
    backoff_base_seconds: float
    backoff_max_seconds: float
    lost_answer_policy: LostAnswerPolicy
    reconcile: timedelta
    """How long feedback is waited for before a send whose answer was lost is repeated."""
    feedback_overdue_seconds: float
    """After how long an e-mail without feedback is counted; infinite if feedback is off."""
    escalate: bool
    """Whether a coordinator is told when a mentor cannot be reached."""
    retry_window: timedelta
    unknown_mentor_grace_seconds: float
    max_age: timedelta | None
    """The age of an event from which nothing is sent for it; None if there is no limit."""
    recipients_allowed: AllowedRecipients | None
    """Who may get e-mail here; None if all may."""
    slow_sources: Container[str]
    """The sources whose events let others go first, except for a share."""
    recipient_emails_per_hour: int
    """How many e-mails one recipient may be sent in an hour before the operator is warned."""
    email_headers: EmailHeaders
    reply_to_coordinator: bool
    """Whether replies to a mentor's e-mail go to their coordinator."""
    zombie_after_seconds: float
    """How long a replica may go on sending without a heartbeat: the session time-out less a margin."""
