"""Requests in transit: one may arrive, or be lost, when its program is killed after sending it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from tests.simulation.loop import PROGRAM, Program, SimulatedLoop


class Request:
    """One request of one program, and the future of its answer."""

    def __init__(self, program: Program | None, answer: asyncio.Future[object]) -> None:
        self.program = program
        self.dropped = False
        self._answer = answer

    def succeed(self, answer: object) -> None:
        """Answer it."""
        if not self._answer.done():
            self._answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        """Answer it with an error."""
        if not self._answer.done():
            self._answer.set_exception(error)


class Wire:
    """The network between the programs and the services that they call."""

    def __init__(self, loop: SimulatedLoop, random: Random) -> None:
        self._loop = loop
        self._random = random
        self._arriving: dict[Request, None] = {}

    async def ask(self, delay: float, arrive: Callable[[Request], None], *, deadline: float, late: Exception) -> object:
        """Send a request that arrives after *delay*; return its answer, or raise *late* after *deadline* seconds."""
        await asyncio.sleep(0)  # a program that is killed or frozen by now sends nothing
        answer: asyncio.Future[object] = self._loop.create_future()
        request = Request(PROGRAM.get(), answer)
        self._arriving[request] = None
        self._loop.outside(delay, self._arrive, request, arrive)
        due = self._loop.call_later(deadline, request.fail, late)
        try:
            return await answer
        finally:
            due.cancel()

    def _arrive(self, request: Request, arrive: Callable[[Request], None]) -> None:
        del self._arriving[request]
        if not request.dropped:
            arrive(request)

    def cut(self, program: Program) -> None:
        """Drop half of the requests in transit of a program that was killed."""
        for request in self._arriving:
            if request.program is program:
                request.dropped = self._random.random() < 0.5

    def answer(self, delay: float, request: Request, answer: object) -> None:
        """Send an answer back."""
        if isinstance(answer, Exception):
            self._loop.outside(delay, request.fail, answer)
        else:
            self._loop.outside(delay, request.succeed, answer)
