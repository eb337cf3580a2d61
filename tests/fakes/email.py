"""An e-mail sender in memory, whose outcomes a test chooses."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from consumers.email import AnswerLost, Email, EmailError, Halted, HaltReason, NotSent, Refused, Throttled
from schemas.dispatch import Reason


@dataclass(frozen=True)
class Outcome:
    """The outcome of one call: whether the e-mail is accepted, and which error is raised afterwards."""

    accepted: bool
    error: Callable[[], EmailError] | None = None


ACCEPT = Outcome(accepted=True)
THROTTLE = Outcome(accepted=False, error=lambda: Throttled("throttled"))
FAIL = Outcome(accepted=False, error=lambda: NotSent("failed"))
UNREACHABLE = Outcome(accepted=False, error=lambda: NotSent("unreachable", unreachable=True))
LOSE_ANSWER = Outcome(accepted=True, error=lambda: AnswerLost("lost after acceptance"))
LOSE_REQUEST = Outcome(accepted=False, error=lambda: AnswerLost("lost before acceptance"))


def refuse(reason: Reason = Reason.MESSAGE_REJECTED) -> Outcome:
    """Refuse this message."""
    return Outcome(accepted=False, error=lambda: Refused("refused", reason=reason))


def halt(reason: HaltReason) -> Outcome:
    """Refuse any message for now."""
    return Outcome(accepted=False, error=lambda: Halted("halted", halt=reason))


async def _at_once() -> None:
    """Answer without delay."""


class FakeSender:
    """
    An EmailSender that accepts every e-mail, unless a test chooses otherwise.

    A call's outcome is the next one of ``will``, else that of its address in ``will_meet``, else ``always``. As with
    SES, an e-mail is accepted when the call arrives, and the response takes *latency*.
    """

    def __init__(self, *, latency: Callable[[], Awaitable[None]] = _at_once) -> None:
        self.latency = latency
        self.always = ACCEPT
        self.accepted: list[Email] = []
        self.calls: list[Email] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._next: deque[Outcome] = deque()
        self._by_address: dict[str, Outcome] = {}

    def will(self, *outcomes: Outcome) -> None:
        """Set the outcomes of the next calls, in order."""
        self._next.extend(outcomes)

    def will_meet(self, address: str, outcome: Outcome) -> None:
        """Set the outcome of every e-mail to *address*."""
        self._by_address[address] = outcome

    async def send(self, email: Email) -> str:
        """Apply the outcome, and return a unique message id."""
        self.calls.append(email)
        outcome = self._next.popleft() if self._next else self._by_address.get(email.to, self.always)
        if outcome.accepted:
            self.accepted.append(email)
        message_id = f"msg-{len(self.accepted):05}"

        await self._answer()
        if outcome.error is not None:
            raise outcome.error()
        return message_id

    async def _answer(self) -> None:
        """Wait for the latency, and count the calls in flight."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self.latency()
        finally:
            self.in_flight -= 1

    def hold(self) -> asyncio.Event:
        """Hold back all responses until the returned event is set."""
        held = asyncio.Event()

        async def latency() -> None:
            """Wait for the event."""
            await held.wait()

        self.latency = latency
        return held
