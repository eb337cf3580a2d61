"""A sender in memory that does as it is told, for tests of what stands before it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from consumers.email import AnswerLost, Email, EmailError, Halted, HaltReason, NotSent, Refused, Throttled
from schemas.dispatch import Reason


@dataclass(frozen=True)
class Outcome:
    """What one call meets: whether the e-mail is accepted, and what is raised in the end."""

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
    Accepts e-mails unless told otherwise; an EmailSender.

    What a call meets is, in this order: the next of ``will``, what its recipient ``will_meet``, else ``always``.
    As at SES, an e-mail is accepted when the call comes, and its answer takes *latency*.
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
        """Have the next calls meet *outcomes*, in their order."""
        self._next.extend(outcomes)

    def will_meet(self, address: str, outcome: Outcome) -> None:
        """Have every e-mail to *address* meet *outcome*."""
        self._by_address[address] = outcome

    async def send(self, email: Email) -> str:
        """Do as told, and give an id that no other e-mail has."""
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
        """Take the time that an answer takes, and count who waits."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self.latency()
        finally:
            self.in_flight -= 1

    def hold(self) -> asyncio.Event:
        """Keep back all answers until the event that this gives is set."""
        held = asyncio.Event()

        async def latency() -> None:
            """Wait to be let go."""
            await held.wait()

        self.latency = latency
        return held
