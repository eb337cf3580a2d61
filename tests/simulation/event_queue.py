"""The queue of SES's events that all programs share: at least once, in no order, with calls that fail."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from consumers.feedback.queue import MOST_MESSAGES, Message, QueueUnavailable
from tests.simulation.faults import Faults
from tests.simulation.loop import SimulatedLoop
from tests.simulation.wire import Request, Wire

_WAIT_SECONDS = 3.0
"""How long a receive waits for a message. It is long, since an idle one costs as much CPU as one with messages."""
_VISIBILITY_SECONDS = 1.5
_DEADLINE_SECONDS = _WAIT_SECONDS + 1.0
_MOST_RECEIVES_OF_JUNK = 3
"""Then the redrive policy moves it."""


@dataclass(eq=False)
class _Stored:
    number: int
    body: str
    ours: bool
    receives: int = 0
    deleted: bool = False


class SimulatedQueue:
    """The one queue. What is received and not deleted comes again."""

    def __init__(self, loop: SimulatedLoop, wire: Wire, faults: Faults) -> None:
        self._loop = loop
        self._wire = wire
        self._faults = faults
        self._count = 0
        self._visible: deque[_Stored] = deque()
        self._taken: dict[str, _Stored] = {}
        """By receipt: what was received, and is invisible until it is deleted or comes again."""
        self._waiting: dict[Request, None] = {}
        self.left = 0
        """How many messages about our e-mails are not deleted."""

    def put(self, body: str, *, ours: bool) -> None:
        """Add a message."""
        self._count += 1
        self.left += ours
        self._visible.append(_Stored(self._count, body, ours))
        self._serve()

    def receive(self, request: Request) -> None:
        """Receive a call for messages: it waits for some."""
        if self._fails(request):
            return
        self._waiting[request] = None
        self._loop.outside(_WAIT_SECONDS, self._answer_if_waiting, request)
        self._serve()

    def _fails(self, request: Request) -> bool:
        fails = self._faults.chance(self._faults.rates.queue_fails)
        if fails:
            self._wire.answer(self._faults.latency(), request, QueueUnavailable("throttled"))
        return fails

    def _serve(self) -> None:
        while self._visible and self._waiting:
            self._answer_if_waiting(next(iter(self._waiting)))

    def _answer_if_waiting(self, request: Request) -> None:
        """Answer a call, even if nobody hears it: the messages of a program that was killed come again."""
        if request not in self._waiting:
            return
        del self._waiting[request]
        found = [self._visible.popleft() for _ in range(min(len(self._visible), MOST_MESSAGES))]
        self._wire.answer(self._faults.latency(), request, [self._take(stored) for stored in found])

    def _take(self, stored: _Stored) -> Message:
        stored.receives += 1
        receipt = f"{stored.number}/{stored.receives}"
        self._taken[receipt] = stored
        self._loop.outside(_VISIBILITY_SECONDS, self._return, receipt)
        return Message(f"id-{stored.number}", stored.body, receipt, stored.receives)

    def _return(self, receipt: str) -> None:
        """End the visibility of what was received."""
        stored = self._taken.pop(receipt, None)
        if stored is None or stored.deleted or (not stored.ours and stored.receives >= _MOST_RECEIVES_OF_JUNK):
            return
        self._visible.append(stored)
        self._serve()

    def delete(self, receipts: Sequence[str], request: Request) -> None:
        """Receive a call that deletes messages. It may fail before, after, or for some of them."""
        if self._fails(request):
            return
        deleted = [receipt for receipt in receipts if not self._faults.chance(self._faults.rates.queue_fails)]
        for receipt in deleted:
            stored = self._taken.get(receipt)
            if stored is not None and not stored.deleted:
                stored.deleted = True
                self.left -= stored.ours
        self._wire.answer(self._faults.latency(), request, len(receipts) - len(deleted))


class ProgramQueue:
    """The queue as one program sees it; an EventQueue."""

    def __init__(self, queue: SimulatedQueue, wire: Wire, faults: Faults) -> None:
        self._queue = queue
        self._wire = wire
        self._faults = faults

    async def receive(self) -> Sequence[Message]:
        """Return up to MOST_MESSAGES. Raise QueueUnavailable."""
        return cast(Sequence[Message], await self._ask(self._queue.receive))

    async def delete(self, messages: Sequence[Message]) -> int:
        """Delete messages and return how many were not. Raise QueueUnavailable."""
        arrive = partial(self._queue.delete, [message.receipt for message in messages])
        return cast(int, await self._ask(arrive))

    async def hide(self, message: Message, seconds: int) -> None:
        """Do nothing: the redrive policy moves what would be hidden."""

    async def _ask(self, arrive: Callable[[Request], None]) -> object:
        late = QueueUnavailable("no answer in time")
        return await self._wire.ask(self._faults.latency(), arrive, deadline=_DEADLINE_SECONDS, late=late)
