"""An SES that accepts, throttles, refuses, fails, loses answers and is slow, as the weather has it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import cast

from consumers.email import AnswerLost, Email, EmailError, Halted, HaltReason, NotSent, Refused, Throttled
from schemas.dispatch import Reason
from tests.simulation.faults import Weather
from tests.simulation.history import Accepted, Answered, Called, History
from tests.simulation.loop import SimulatedLoop
from tests.simulation.wire import Request, Wire

SES_TIMEOUT_SECONDS = 1.0


class SimulatedSes:
    """What all programs send to."""

    def __init__(self, loop: SimulatedLoop, wire: Wire, weather: Weather, history: History) -> None:
        self._loop = loop
        self._wire = wire
        self._weather = weather
        self._history = history
        self._calls = itertools.count(1)
        self.refused: frozenset[str] = frozenset()
        """Addresses that SES never accepts mail for."""

    async def send(self, program: str, owns: bool, email: Email) -> str:  # noqa: FBT001 - one fact more of the call
        """Take one e-mail from *program*; raises EmailErrors."""
        call = next(self._calls)
        late = AnswerLost("read time-out")
        delay = self._weather.latency()
        slow = self._weather.chance(self._weather.climate.send_slow)
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
        weather = self._weather
        back = SES_TIMEOUT_SECONDS * 2 * weather.random.random() if slow else weather.latency()
        error = self._meets(email)
        if error is not None and not (isinstance(error, AnswerLost) and weather.chance(0.5)):
            self._wire.answer(back, request, error)
            return
        message_id = f"msg-{call:04}"
        self._history.entries.append(Accepted(self._loop.time(), call, message_id))
        self._wire.answer(back, request, error or message_id)

    def _meets(self, email: Email) -> EmailError | None:
        weather, climate = self._weather, self._weather.climate
        if email.to in self.refused:
            return Refused("refused", reason=Reason.MESSAGE_REJECTED)
        if weather.chance(climate.send_throttled):
            return Throttled("throttled")
        if weather.chance(climate.send_not_accepted):
            return NotSent("5xx", unreachable=weather.chance(0.7))
        if weather.chance(climate.halted):
            return Halted("paused", halt=HaltReason.SENDING_PAUSED)
        return AnswerLost("connection dropped") if weather.chance(climate.send_lost) else None


class ProgramsSender:
    """SES as one program has it; an EmailSender."""

    def __init__(self, ses: SimulatedSes, program: str, owns: Callable[[int], bool]) -> None:
        self._ses = ses
        self._program = program
        self._owns = owns

    async def send(self, email: Email) -> str:
        """Hand an e-mail to SES."""
        return await self._ses.send(self._program, self._owns(int(email.tags["partition"])), email)
