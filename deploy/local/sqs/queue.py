"""A standard queue of SQS in memory: what is received is hidden for a time, and comes again unless it is deleted."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_MESSAGES = 200_000  # of about 3 KB


class Full(Exception):
    """There is no room for another message."""


@dataclass(slots=True)
class Message:
    """A message on a queue; times are in seconds since the epoch."""

    message_id: str
    body: str
    sent_at: float
    receives: int = 0
    first_received_at: float = 0
    visible_at: float = 0

    @property
    def receipt(self) -> str:
        """Return the handle of its last receive."""
        return f"{self.message_id}#{self.receives}"


class Queue:
    """The messages of one queue; after *max_receives* one moves to *dead_letters*."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        dead_letters: Queue | None = None,
        max_receives: int = 5,
        most: int = MOST_MESSAGES,
    ) -> None:
        self._clock = clock
        self._dead_letters = dead_letters
        self._max_receives = max_receives
        self._most = most
        self._messages: dict[str, Message] = {}
        self._visible: deque[Message] = deque()
        self._hidden: list[tuple[float, int, str]] = []  # times, and ids: what is deleted leaves memory at once
        self._number = count()

    def put(self, body: str) -> Message:
        """Add a message; raise Full."""
        if len(self._messages) >= self._most:
            raise Full

        message = Message(str(uuid4()), body, self._clock())
        self._add(message)
        return message

    def receive(self, most: int, *, visibility: float) -> list[Message]:
        """Return up to *most* visible messages, and hide them for *visibility* seconds."""
        now = self._clock()
        self._show_again(now)
        found: list[Message] = []
        while self._visible and len(found) < most:
            message = self._visible.popleft()
            if self._messages.get(message.message_id) is not message:
                continue  # it was deleted
            if self._dead_letters is not None and message.receives >= self._max_receives:
                del self._messages[message.message_id]
                self._dead_letters._add(message)  # noqa: SLF001 - another queue
                continue
            message.receives += 1
            message.first_received_at = message.first_received_at or now
            self._hide(message, now + visibility)
            found.append(message)
        return found

    def delete(self, receipt: str) -> None:
        """Delete a message; one that is gone already is none to complain about."""
        self._messages.pop(_message_id(receipt), None)

    def hide(self, receipt: str, seconds: float) -> bool:
        """Hide a received message for *seconds* from now; return False if there is no such message."""
        message = self._messages.get(_message_id(receipt))
        if message is None or not message.visible_at:
            return False
        self._hide(message, self._clock() + seconds)
        return True

    def clear(self) -> None:
        """Delete all messages."""
        self._messages.clear()
        self._visible.clear()
        self._hidden.clear()

    def next_visible_in(self) -> float | None:
        """Return in how many seconds a hidden message may be visible again; None if none is hidden."""
        return max(0.0, self._hidden[0][0] - self._clock()) if self._hidden else None

    def counts(self) -> tuple[int, int]:
        """Return how many messages are visible, and how many are hidden."""
        self._show_again(self._clock())
        hidden = sum(message.visible_at > 0 for message in self._messages.values())
        return len(self._messages) - hidden, hidden

    def _add(self, message: Message) -> None:
        self._messages[message.message_id] = message
        self._visible.append(message)

    def _hide(self, message: Message, until: float) -> None:
        message.visible_at = until
        heappush(self._hidden, (until, next(self._number), message.message_id))

    def _show_again(self, now: float) -> None:
        while self._hidden and self._hidden[0][0] <= now:
            until, _, message_id = heappop(self._hidden)
            message = self._messages.get(message_id)
            if message is not None and message.visible_at == until:
                message.visible_at = 0
                self._visible.append(message)


def _message_id(receipt: str) -> str:
    return receipt.partition("#")[0]
