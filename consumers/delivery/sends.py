"""Sends the e-mails of one dispatch side by side, and says what each answer means for its recipient."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from consumers.admission.gate import Gate
from consumers.delivery import decisions
from consumers.delivery.recipient_limit import RecipientLimit
from consumers.delivery.rules import Rules
from consumers.delivery.work import Work
from consumers.email import Email, EmailError, EmailSender, Throttled
from consumers.metrics import Metrics
from consumers.steps import Reached, Step
from runtime.clock import Clock
from schemas.dispatch import Recipient

log = structlog.get_logger(__name__)


class Sends:
    """Hands e-mails to the provider; reports each answer to the gate."""

    def __init__(
        self,
        rules: Rules,
        clock: Clock,
        gate: Gate,
        sender: EmailSender,
        recipient_limit: RecipientLimit,
        metrics: Metrics,
        reached: Reached,
    ) -> None:
        self._rules = rules
        self._clock = clock
        self._gate = gate
        self._sender = sender
        self._recipient_limit = recipient_limit
        self._metrics = metrics
        self._reached = reached

    async def send_all(self, work: Work, sending: list[Recipient], emails: Mapping[str, Email]) -> list[Recipient]:
        """Send to all recipients in *sending*, and return them as the answers leave them."""
        previous, work.tried_at = work.tried_at, self._clock.monotonic()
        results = await asyncio.gather(*(self._send(work, emails[recipient.contact_id]) for recipient in sending))
        self._reached(Step.ANSWERED, work.event.dispatch_id)
        # An outage must cost no attempts: a failure counts only when SES accepted other mail since the previous try.
        charge = self._gate.accepted_at > previous
        pairs = zip(sending, results, strict=True)
        return [self._outcome(work, recipient, result, charge=charge) for recipient, result in pairs]

    async def _send(self, work: Work, email: Email) -> str | EmailError:
        began = self._clock.monotonic()
        result: str | EmailError
        try:
            result = await self._sender.send(email)
        except EmailError as error:
            log.warning("send.failed", dispatch=work.event.dispatch_id, error=type(error).__name__, detail=str(error))
            if isinstance(error, Throttled):
                self._metrics.throttles.inc()
            result = error
        finally:
            self._metrics.ses_seconds.observe(self._clock.monotonic() - began)
        self._gate.report(work.event.mentor_id, result if isinstance(result, EmailError) else None)
        return result

    def _outcome(self, work: Work, recipient: Recipient, result: str | EmailError, *, charge: bool) -> Recipient:
        now = self._clock.now()
        if isinstance(result, str):
            request = work.delivery.request
            caller = None if request is None else request.caller
            self._recipient_limit.sent(recipient.contact_id, source=work.event.source, caller=caller)
            return decisions.sent(recipient, result, now)
        policy, max_attempts = self._rules.lost_answer_policy, self._rules.max_attempts
        return decisions.not_sent(recipient, result, now, policy=policy, charge=charge, max_attempts=max_attempts)
