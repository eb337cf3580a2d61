"""Messages on their way to a queue: bounded, sent by a task of its own, and tried again until the queue takes them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_WAITING = 20_000  # of about 3 KB
BATCH = 10  # what SQS takes in one call
BATCH_CHARACTERS = 200_000  # likewise, with room for the rest of the request; the messages are ASCII
RETRY_SECONDS = 0.5


class EventQueue(Protocol):
    """A queue of events."""

    def send(self, messages: Sequence[str]) -> Sequence[str]:
        """Send messages, and return those that it has not taken and that are to be tried again; it may block."""
        ...


class Outbox:
    """The messages that wait for one queue."""

    def __init__(self, queue: EventQueue, *, most: int = MOST_WAITING, retry_seconds: float = RETRY_SECONDS) -> None:
        self._queue = queue
        self._most = most
        self._retry_seconds = retry_seconds
        self._waiting: deque[str] = deque()
        self._filled = asyncio.Event()
        self._sent = 0
        self._dropped = 0

    def counters(self) -> tuple[int, int, int]:
        """Return how many messages were sent, wait, and were dropped."""
        return self._sent, len(self._waiting), self._dropped

    def put(self, message: str) -> None:
        """Send *message* soon; drop it if too many wait."""
        if len(self._waiting) >= self._most:
            self._dropped += 1
            return

        self._waiting.append(message)
        self._filled.set()

    async def run(self) -> None:
        """Send what is put in, until cancelled."""
        while True:
            await self._filled.wait()
            batch = self._next_batch()
            left = await asyncio.to_thread(self._queue.send, batch)
            self._sent += len(batch) - len(left)
            self._waiting.extendleft(reversed(left))
            if not self._waiting:
                self._filled.clear()
            if left:
                await asyncio.sleep(self._retry_seconds)

    def _next_batch(self) -> list[str]:
        batch = [self._waiting.popleft()]
        characters = len(batch[0])
        while self._waiting and len(batch) < BATCH and characters + len(self._waiting[0]) <= BATCH_CHARACTERS:
            batch.append(self._waiting.popleft())
            characters += len(batch[-1])
        return batch
