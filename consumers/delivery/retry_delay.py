"""How long a dispatch waits between two tries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from consumers.admission.gate import Gate
from consumers.delivery import decisions
from consumers.delivery.rules import Rules
from consumers.delivery.work import Work
from consumers.metrics import Metrics
from runtime.backoff import backoff_seconds
from runtime.clock import Clock
from schemas.dispatch import Dispatch


@dataclass
class RetryDelay:
    """Waits before the next try, longer after each failure."""

    rules: Rules
    clock: Clock
    gate: Gate
    metrics: Metrics
    random: Callable[[], float]

    async def wait(self, work: Work, dispatch: Dispatch, *, free: bool) -> None:
        """
        Wait before the next try.

        During a halt there is no wait after a *free* try, one that used up neither an attempt nor a lost answer: the
        gate sees the end of the halt first. After any other try there is one, or a recipient whose e-mails SES takes
        only now and then would use up all attempts at once.
        """
        for recipient in decisions.due(dispatch):
            self.metrics.retries.labels(reason=recipient.reason or "none").inc()
        work.assignment.check()
        if free and self.gate.halt is not None:
            return
        work.failures += 1
        base, ceiling = self.rules.backoff_base_seconds, self.rules.backoff_max_seconds
        await self.clock.sleep(backoff_seconds(work.failures, base=base, ceiling=ceiling, random=self.random))
