"""Limit of log lines a cause and minute: an outage logs its cause, not each record that it touches."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from structlog.typing import EventDict

MINUTE = 60.0
LINES_A_MINUTE = 20
"""How many lines of one event and cause pass in a minute, if the event is not one of an outage."""

OUTAGE = frozenset(
    {
        "contacts.unreachable",
        "controls.unreachable",
        "dispatch.intent_not_durable",
        "dispatches.follow.failed",
        "event.publish.failed",
        "feedback.not_durable",
        "feedback.queue.unavailable",
        "group.commit.failed",
        "group.heartbeat.failed",
        "group.membership.failed",
        "group.poll.failed",
        "kafka.fetch.failed",
        "ledger.read.failed",
        "ledger.unreachable",
        "record.not_durable",
        "suppressions.unreachable",
        "watchdog.kafka_silent",
    }
)
"""Events that every lane, partition, call or poll would log again while Kafka or AWS is away: one line a minute."""

LEFT_OUT = "log.lines_left_out"
_EACH = frozenset({LEFT_OUT, "controls.changed"})  # the second is the audit of what operators do
_LIMITED = frozenset({"warning", "error", "exception", "critical"})
_CAUSES = ("error", "reason", "kind")  # the fields that name a line's cause
_NUMBER = re.compile(r"\d+")
_CAUSE_LENGTH = 60
_MAX_CAUSES = 1000


class Cause(NamedTuple):
    """What many lines have in common."""

    event: str
    """The event's name; for a line of a library its logger."""
    error: str
    """The named error or reason, without numbers; for a line of a library the beginning of its text."""


_OTHERS = Cause("others", "")  # the causes beyond those that are remembered: memory is bounded


@dataclass(slots=True)
class _Minute:
    """The lines of one cause since the first that passed."""

    began: float
    passed: int = 0
    left_out: int = 0


class LogLimit:
    """
    Let the first lines of a cause pass in each minute, and count the rest.

    Lines below warnings always pass. Threads may share a limit.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Create a limit; *monotonic* returns seconds."""
        self._monotonic = monotonic
        self._minutes: dict[Cause, _Minute] = {}
        self._next_end = float("inf")
        self._lock = threading.Lock()  # libraries log from threads, too

    def passes(self, level: str, event: EventDict) -> bool:
        """Return whether to write a line; count it if not."""
        if level not in _LIMITED or event["event"] in _EACH:
            return True
        cause = _cause(event)
        allowed = 1 if cause.event in OUTAGE or "logger" in event else LINES_A_MINUTE
        with self._lock:
            minute = self._minute(cause)
            if minute.passed < allowed:
                minute.passed += 1
                return True
            minute.left_out += 1
            return False

    def ended(self) -> list[tuple[Cause, int]]:
        """Return, once, how many lines were left out of each cause whose minute is over, and forget these causes."""
        now = self._monotonic()
        if now < self._next_end:
            return []
        with self._lock:
            over = [cause for cause, minute in self._minutes.items() if now >= minute.began + MINUTE]
            minutes = [(cause, self._minutes.pop(cause)) for cause in over]
            self._next_end = min((minute.began for minute in self._minutes.values()), default=float("inf")) + MINUTE
        return [(cause, minute.left_out) for cause, minute in minutes if minute.left_out]

    def _minute(self, cause: Cause) -> _Minute:
        if len(self._minutes) >= _MAX_CAUSES and cause not in self._minutes:
            cause = _OTHERS
        if (found := self._minutes.get(cause)) is not None:
            return found
        began = self._monotonic()
        self._next_end = min(self._next_end, began + MINUTE)
        return self._minutes.setdefault(cause, _Minute(began))


def _cause(event: EventDict) -> Cause:
    text, library = str(event["event"]), event.get("logger")
    if library is not None:
        return Cause(str(library), _without_numbers(text))
    return Cause(text, next((_without_numbers(str(event[one])) for one in _CAUSES if event.get(one) is not None), ""))


def _without_numbers(text: str) -> str:
    """Return the beginning of a text without its numbers: nodes, ports and offsets make no other cause."""
    return _NUMBER.sub("#", text[: 2 * _CAUSE_LENGTH])[:_CAUSE_LENGTH]
