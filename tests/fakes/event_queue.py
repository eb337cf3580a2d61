"""A queue of SES's events in memory: what is not deleted comes again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from consumers.feedback.queue import MOST_MESSAGES, Message, QueueUnavailable


class FakeQueue:
    """An EventQueue whose failures a test chooses."""

    def __init__(self) -> None:
        self._waiting: list[Message] = []
        self._taken: dict[str, Message] = {}
        self._arrived = asyncio.Event()
        self.hidden: list[str] = []
        self.hidden_seconds: list[int] = []
        self.seen: list[Message] = []
        """All messages as they were received."""
        self.waiting = 0
        """How many wait for messages now."""
        self.most_at_once = 0
        self.deleted: list[str] = []
        self.failing: set[str] = set()
        """The calls that fail: `receive`, `delete`."""
        self._count = 0

    def put(self, *bodies: str) -> None:
        """Add messages."""
        for body in bodies:
            self._count += 1
            self._waiting.append(Message(f"id-{self._count}", body, f"receipt-{self._count}"))
        self._arrived.set()

    def end_visibility(self) -> None:
        """Let what was received and not deleted come again."""
        for message in self._taken.values():
            self._waiting.append(Message(message.id, message.body, message.receipt, message.receives + 1))
        self._taken = {}
        self._arrived.set()

    @property
    def left(self) -> int:
        """Return how many messages are not deleted."""
        return len(self._waiting) + len(self._taken)

    async def receive(self) -> Sequence[Message]:
        """Return messages, or wait until there are some."""
        self.waiting += 1
        self.most_at_once = max(self.most_at_once, self.waiting)
        try:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            await asyncio.sleep(0)
        finally:
            self.waiting -= 1
        if "receive" in self.failing:
            raise QueueUnavailable("receive")
        found, self._waiting = self._waiting[:MOST_MESSAGES], self._waiting[MOST_MESSAGES:]
        self._taken |= {message.id: message for message in found}
        self.seen += found
        return found

    async def delete(self, messages: Sequence[Message]) -> int:
        """Delete messages."""
        if "delete" in self.failing:
            raise QueueUnavailable("delete")
        for message in messages:
            if self._taken.pop(message.id, None) is not None:
                self.deleted.append(message.id)
        return 0

    async def hide(self, message: Message, seconds: int) -> None:
        """Note it."""
        self.hidden.append(message.id)
        self.hidden_seconds.append(seconds)
