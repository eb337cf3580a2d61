"""Asks SES about the account now and then, and tells the gate its rate and whether it may send at all."""

from __future__ import annotations

import structlog

from consumers.gate import Gate
from consumers.ses.account import SesAccount, halt_of
from consumers.ses.email import EmailError
from runtime.clock import Clock

log = structlog.get_logger(__name__)


class Accounting:
    """Keeps the gate at what the account allows."""

    def __init__(self, account: SesAccount, gate: Gate, clock: Clock, *, interval_seconds: float) -> None:
        self._account = account
        self._gate = gate
        self._clock = clock
        self._interval = interval_seconds

    async def run(self) -> None:
        """Ask at once and then each interval, until cancelled."""
        while True:
            await self._ask()
            await self._clock.sleep(self._interval)

    async def _ask(self) -> None:
        try:
            account = await self._account.read()
        except EmailError as error:
            # The last rate known goes on: who may not ask may still send, and sends tell themselves where they may not.
            log.warning("account.unreadable", error=type(error).__name__, detail=str(error))
            return
        self._gate.set_account_rate(account.max_send_rate)
        halt = halt_of(account)
        if halt is None:
            self._gate.resume("account")
        else:
            self._gate.halt_for("account", halt)
