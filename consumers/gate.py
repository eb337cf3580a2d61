"""May a send start now? The account's rate, this replica's share of it, and halts.

A halt is a rate of zero with a reason. While it lasts one probe at a time goes through, each with another mentor's
mail, so that the end of an outage is seen without a storm and without betting one mentor's mail on it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from consumers.ses.email import AnswerLost, EmailError, Halted, NotSent, Throttled
from runtime.clock import Clock

log = structlog.get_logger(__name__)

BURST_SECONDS = 0.25
"""How much of a second's rate may be saved up: SES forgives short bursts only."""
_LEAST_BURST = 2.0
_PROBE_FIRST_SECONDS = 1.0
_PROBE_MOST_SECONDS = 5.0
_MENTORS_MAKE_AN_OUTAGE = 3
_BACKLOG_EVERY = 4
"""Each so many-th send goes to the backlog although callers wait, so that neither starves."""
_SLOW_DOWN = 0.7
_SPEED_UP_PER_SECOND = 0.05
_SLOWEST = 0.05
_LEAST_WAIT_SECONDS = 0.001
"""A shorter wait than rounding leaves may not move the clock at all, and the bucket then never fills."""

NO_CONTACTS = "no_contacts"
CONTACTS_NOT_READ = "contacts_not_read"
UNREACHABLE = "ses_unreachable"


def next_slowness(slowness: float, *, throttled: bool, seconds: float) -> float:
    """Give the share of the rate that is used next: multiplicative decrease on a throttle, additive increase else."""
    if throttled:
        return max(slowness * _SLOW_DOWN, _SLOWEST)
    return min(slowness + _SPEED_UP_PER_SECOND * seconds, 1.0)


@dataclass(eq=False)
class Ticket:
    """One dispatch that wants to send, waiting at the gate."""

    mentor_id: str
    emails: int
    waits_until: float = 0.0
    """Monotonic time up to which its caller waits; 0 where none does."""
    answer_was_lost: bool = False
    probe: bool = field(default=False, init=False)
    opened: asyncio.Event = field(default_factory=asyncio.Event, init=False)


class Gate:
    """Lets a send begin when the account's rate and health allow it."""

    def __init__(self, clock: Clock, *, max_in_flight: int, rate: float, headroom: float = 0.0) -> None:
        self._clock = clock
        self._max_in_flight = max_in_flight
        self._account_rate = rate
        self._headroom = headroom
        self._share = 0.0
        self._slowness = 1.0
        self._tokens = 0.0
        self._refilled_at = clock.monotonic()
        self._slowed_at = float("-inf")
        # Two queues in the order of arrival, as dicts: one leaves from anywhere at no cost.
        self._callers: dict[Ticket, None] = {}
        self._backlog: dict[Ticket, None] = {}
        self._changed = asyncio.Event()
        self._opened = 0
        self._halts: dict[str, str] = {}
        self._suspects: set[str] = set()
        self._probing = False
        self._probe_wait = _PROBE_FIRST_SECONDS
        self._probe_at = 0.0
        self._probed: str | None = None
        self.in_flight = 0
        self.accepted_at = float("-inf")
        """Monotonic time at which SES last accepted a mail."""

    @property
    def rate(self) -> float:
        """Give the e-mails per second that this replica may send now; 0 while halted."""
        if self._halts:
            return 0.0
        return self._account_rate * (1 - self._headroom) * self._share * self._slowness

    @property
    def halt(self) -> str | None:
        """Give why nothing is sent, or None."""
        return next(iter(self._halts.values()), None)

    @property
    def waiting(self) -> int:
        """Give how many dispatches wait."""
        return len(self._callers) + len(self._backlog)

    def set_account_rate(self, rate: float) -> None:
        """Take the account's own rate, in e-mails per second over all replicas."""
        self._refill()
        self._account_rate = rate
        self._changed.set()

    def set_share(self, owned: int, partitions: int) -> None:
        """Take this replica's share; a bucket starts empty, since a former owner may just have spent the rate."""
        self._share = owned / partitions if partitions else 0.0
        self._tokens = min(self._tokens, 0.0)
        self._refilled_at = self._clock.monotonic()
        self._changed.set()

    def halt_for(self, source: str, reason: str) -> None:
        """Stop sending for a reason, until *source* resumes."""
        if self._halts.get(source) != reason:
            told = log.info if reason == CONTACTS_NOT_READ else log.error
            told("gate.halted", source=source, reason=reason)
        self._halts[source] = reason

    def resume(self, source: str) -> None:
        """Take back what *source* halted for."""
        if self._halts.pop(source, None) is not None:
            log.info("gate.resumed", source=source, halt=self.halt)
            self._changed.set()

    @contextmanager
    def leaving(self, ticket: Ticket) -> Iterator[None]:
        """Give the ticket's places back when the sends it was opened for are over."""
        try:
            yield
        finally:
            self.in_flight -= ticket.emails
            if ticket.probe:
                self._probing = False
                self._probe_at = self._clock.monotonic() + self._probe_wait
                self._probe_wait = min(self._probe_wait * 2, _PROBE_MOST_SECONDS)
            self._changed.set()

    async def enter(self, ticket: Ticket) -> None:
        """Wait until *ticket* may send; its places are then taken, and `leaving` must follow."""
        waits = ticket.waits_until > self._clock.monotonic()
        (self._callers if waits else self._backlog)[ticket] = None
        self._changed.set()
        try:
            await ticket.opened.wait()
        except asyncio.CancelledError:
            if ticket.opened.is_set():
                with self.leaving(ticket):
                    pass
            else:
                self._dequeue(ticket)
            raise

    def report(self, mentor_id: str, error: EmailError | None) -> None:
        """Take in what became of one send."""
        if error is None:
            self._accepted()
        elif isinstance(error, Halted):
            self.halt_for("sends", error.halt)
        elif isinstance(error, Throttled):
            self._throttled()
        elif isinstance(error, AnswerLost) or (isinstance(error, NotSent) and error.unreachable):
            self._suspects.add(mentor_id)
            if len(self._suspects) >= _MENTORS_MAKE_AN_OUTAGE:
                self.halt_for("sends", UNREACHABLE)

    def _accepted(self) -> None:
        self.accepted_at = self._clock.monotonic()
        self._suspects.clear()
        self._probe_wait = _PROBE_FIRST_SECONDS
        self.resume("sends")
        self.resume("account")

    def _throttled(self) -> None:
        now = self._clock.monotonic()
        self._refill()
        if now - self._slowed_at >= 1.0:
            self._slowness = next_slowness(self._slowness, throttled=True, seconds=0)
            self._slowed_at = now
            log.warning("gate.slowed", rate=round(self.rate, 2))
        self._tokens = min(self._tokens, 0.0)

    async def run(self) -> None:
        """Open the gate for those who wait, until cancelled."""
        while True:
            self._changed.clear()
            wait = self._open_for_all()
            await self._until_changed(wait)

    def _open_for_all(self) -> float | None:
        """Open for whom it may; give the seconds until it may open again, or None where a change must come first."""
        while self._callers or self._backlog:
            if self._halts:
                return self._open_for_probe()
            ticket = self._next_ticket()
            if self.in_flight and self.in_flight + ticket.emails > self._max_in_flight:
                return None
            self._refill()
            if self.rate <= 0:
                return None
            if self._tokens < min(ticket.emails, self._burst()):
                return max((min(ticket.emails, self._burst()) - self._tokens) / self.rate, _LEAST_WAIT_SECONDS)
            self._tokens -= ticket.emails
            self._open(ticket)
        return None

    def _next_ticket(self) -> Ticket:
        """Give the first caller who still waits; where there is none, or it is its turn, the first of the backlog."""
        now = self._clock.monotonic()
        while self._callers and next(iter(self._callers)).waits_until <= now:
            ticket = next(iter(self._callers))
            self._dequeue(ticket)
            self._backlog = {ticket: None, **self._backlog}  # it has waited long enough not to go last
        backlog_turn = self._opened % _BACKLOG_EVERY == _BACKLOG_EVERY - 1
        queue = self._callers if self._callers and not (backlog_turn and self._backlog) else self._backlog
        return next(iter(queue))

    def _dequeue(self, ticket: Ticket) -> None:
        self._callers.pop(ticket, None)
        self._backlog.pop(ticket, None)

    def _open_for_probe(self) -> float | None:
        if self._probing or {NO_CONTACTS, CONTACTS_NOT_READ} & set(self._halts.values()):
            return None
        now = self._clock.monotonic()
        if now < self._probe_at:
            return self._probe_at - now
        ticket = min(
            itertools.chain(self._callers, self._backlog),
            key=lambda waiting: (waiting.answer_was_lost, waiting.mentor_id == self._probed),
        )
        self._probing = ticket.probe = True
        self._probed = ticket.mentor_id
        log.info("gate.probing", halt=self.halt)
        self._open(ticket)
        return None

    def _open(self, ticket: Ticket) -> None:
        self._dequeue(ticket)
        self._opened += 1
        self.in_flight += ticket.emails
        ticket.opened.set()

    def _burst(self) -> float:
        return max(self.rate * BURST_SECONDS, _LEAST_BURST)

    def _refill(self) -> None:
        now = self._clock.monotonic()
        seconds = now - self._refilled_at
        self._refilled_at = now
        self._tokens = min(self._tokens + seconds * self.rate, self._burst())
        self._slowness = next_slowness(self._slowness, throttled=False, seconds=seconds)

    async def _until_changed(self, seconds: float | None) -> None:
        if seconds is None:
            await self._changed.wait()
            return
        waits: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._changed.wait()),
            asyncio.create_task(self._clock.sleep(seconds)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
