"""A queue of events for tests: it keeps what it is sent, and may refuse it."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


class FakeQueue:
    """Keep messages; while *away* is set take none, while *closed* block."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.away = False
        self.open = threading.Event()
        self.open.set()

    def send(self, messages: Sequence[str]) -> Sequence[str]:
        """Take messages, unless the queue is away."""
        self.open.wait(5)
        if self.away:
            return messages
        self.batches.append(list(messages))
        return []

    @property
    def messages(self) -> list[str]:
        """Return all messages, in the order of their arrival."""
        return [message for batch in self.batches for message in batch]

    def records(self) -> list[dict[str, Any]]:
        """Return the event records."""
        return [record for record in map(event_in, self.messages) if record is not None]

    def types(self) -> list[str]:
        """Return the event types."""
        return [record["eventType"] for record in self.records()]


def event_in(body: str) -> dict[str, Any] | None:
    """Return the event record in a message's body, or None for SES's first line of text."""
    message = json.loads(body)["Message"]
    return json.loads(message) if message.startswith("{") else None
