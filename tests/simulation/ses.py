"""An SES that accepts, throttles, refuses, fails, loses answers and is slow, as the faults decide."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import cast

from consumers.email import AnswerLost, Email, EmailError, Halted, HaltReason, NotSent, Refused, Throttled
from schemas.dispatch import Reason
from tests.simulation.faults import Faults
from tests.simulation.history import Accepted, Answered, Called, History
from tests.simulation.loop import SimulatedLoop
from tests.simulation.wire import Request, Wire

SES_TIMEOUT_SECONDS = 1.0


class SimulatedSes:
    """The one SES that all programs call."""

    def __init__(self, loop: SimulatedLoop, wire: Wire, faults: Faults, history: History) -> None:
        self._loop = loop
        self._wire = wire
        self._faults = faults
        self._history = history
        self._calls = itertools.count(1)
        self.on_accepted: Callable[[Email, str], None] = lambda _email, _message_id: None
        self.refused: frozenset[str] = frozenset()
        """Addresses for which SES never accepts e-mails."""

    async def send(self, program: str, owns: bool, email: Email) -> str:  # noqa: FBT001 - a property of the call
        """Receive one e-mail from *program*. Raises EmailErrors."""
        call = next(self._calls)
        late = AnswerLost("read time-out")
        delay = self._faults.latency()
        slow = self._faults.chance(self._faults.rates.send_slow)
        arrive = partial(self._arrive, call, email, slow)
        self._history.entries.append(
            Called(self._loop.time(), call, program, email.tags["dispatch_id"], email.tags["recipient"], owns)
        )
        try:
            answer = await self._wire.ask(delay, arrive, deadline=SES_TIMEOUT_SECONDS, late=late)
        except EmailError as error:
            self._history.entries.append(Answered(self._loop.time(), call, type(error).__name__))
            raise
        self._history.entries.append(Answered(self._loop.time(), call, "accepted"))
        return cast(str, answer)

    def _arrive(self, call: int, email: Email, slow: bool, request: Request) -> None:  # noqa: FBT001 - as above
        faults = self._faults
        back = SES_TIMEOUT_SECONDS * 2 * faults.random.random() if slow else faults.latency()
        error = self._error_for(email)
        if error is not None and not (isinstance(error, AnswerLost) and faults.chance(0.5)):
            self._wire.answer(back, request, error)
            return
        message_id = f"msg-{call:04}"
        self._history.entries.append(Accepted(self._loop.time(), call, message_id))
        self.on_accepted(email, message_id)
        self._wire.answer(back, request, error or message_id)

    def _error_for(self, email: Email) -> EmailError | None:
        faults, rates = self._faults, self._faults.rates
        if email.to in self.refused:
            return Refused("refused", reason=Reason.MESSAGE_REJECTED)
        if faults.chance(rates.send_throttled):
            return Throttled("throttled")
        if faults.chance(rates.send_not_accepted):
            return NotSent("5xx", unreachable=faults.chance(0.7))
        if faults.chance(rates.halted):
            return Halted("paused", halt=HaltReason.SENDING_PAUSED)
        return AnswerLost("connection dropped") if faults.chance(rates.send_lost) else None


class ProgramSender:
    """The sender of one program; an EmailSender."""

    def __init__(self, ses: SimulatedSes, program: str, owns: Callable[[int], bool]) -> None:
        self._ses = ses
        self._program = program
        self._owns = owns

    async def send(self, email: Email) -> str:
        """Send an e-mail to SES."""
        return await self._ses.send(self._program, self._owns(int(email.tags["partition"])), email)
