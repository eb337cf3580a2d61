"""May a send start now? The pace, places, whose turn it is, and halts.

A halt is a rate of zero with a reason. While it lasts one probe at a time goes through, each with another mentor's
mail, so that the end of an outage is seen without a storm and without betting one mentor's mail on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from consumers.admission.fair_queue import FairQueue, Permit
from consumers.admission.token_bucket import TokenBucket
from consumers.email import AnswerLost, EmailError, Halted, NotSent, Throttled
from runtime.clock import Clock

__all__ = ["CONTACTS_NOT_READ", "NO_CONTACTS", "UNREACHABLE", "Gate", "Permit"]

log = structlog.get_logger(__name__)

_PROBE_FIRST_SECONDS = 1.0
_PROBE_MOST_SECONDS = 5.0
_MENTORS_MAKE_AN_OUTAGE = 3
_LEAST_WAIT_SECONDS = 0.005
"""At hundreds a second several are let in at each waking: finer than SES could tell, and a fraction of the work."""

NO_CONTACTS = "no_contacts"
CONTACTS_NOT_READ = "contacts_not_read"
UNREACHABLE = "ses_unreachable"


class Gate:
    """Lets a send begin when the account's rate and health allow it."""

    def __init__(self, clock: Clock, *, max_in_flight: int, rate: float, headroom: float = 0.0) -> None:
        self._clock = clock
        self._max_in_flight = max_in_flight
        self._token_bucket = TokenBucket(clock, account_rate=rate, headroom=headroom)
        self._queue = FairQueue()
        self._let_in_at: dict[str, float] = {}
        """When the sends under way were let in, by mentor: a mentor's events are sent one after the other."""
        self._changed = asyncio.Event()
        self._timed = False
        """Whether the gate looks again by itself, when there are tokens or a probe is due."""
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
        """Return the e-mails per second that this replica may send now; 0 while halted."""
        return 0.0 if self._halts else self._token_bucket.rate

    @property
    def halt(self) -> str | None:
        """Return why nothing is sent, or None."""
        return next(iter(self._halts.values()), None)

    @property
    def waiting(self) -> int:
        """Return how many dispatches wait."""
        return len(self._queue)

    def set_account_rate(self, rate: float) -> None:
        """Take the account's own rate, in e-mails per second over all replicas."""
        self._token_bucket.set_account_rate(rate)
        self._changed.set()

    def set_share(self, assignment: int, partitions: int) -> None:
        """Take this replica's share; nothing saved up before is spent after."""
        self._token_bucket.set_share(assignment / partitions if partitions else 0.0)
        self._changed.set()

    def halt_for(self, source: str, reason: str) -> None:
        """Stop sending for a reason, until *source* resumes."""
        if self._halts.get(source) != reason:
            told = log.info if reason == CONTACTS_NOT_READ else log.error
            told("gate.halted", source=source, reason=reason)
            self._changed.set()
        self._halts[source] = reason

    def resume(self, source: str) -> None:
        """Take back what *source* halted for."""
        if self._halts.pop(source, None) is not None:
            log.info("gate.resumed", source=source, halt=self.halt)
            self._changed.set()

    @contextmanager
    def leaving(self, permit: Permit) -> Iterator[None]:
        """Yield the ticket's places back when the sends it was opened for are over."""
        try:
            yield
        finally:
            self.in_flight -= permit.emails
            self._let_in_at.pop(permit.mentor_id, None)
            if permit.probe:
                self._probing = False
                self._probe_at = self._clock.monotonic() + self._probe_wait
                self._probe_wait = min(self._probe_wait * 2, _PROBE_MOST_SECONDS)
            self._look_again()

    async def enter(self, permit: Permit) -> None:
        """Wait until *permit* may send; its places are then taken, and `leaving` must follow."""
        self._queue.add(permit, self._clock.monotonic())
        self._look_again()
        try:
            await permit.opened.wait()
        except asyncio.CancelledError:
            if permit.opened.is_set():
                with self.leaving(permit):
                    pass
            else:
                self._queue.leave(permit)
                self._look_again()
            raise

    def report(self, mentor_id: str, error: EmailError | None) -> None:
        """Take in what became of one send."""
        if error is None:
            self._accepted()
        elif isinstance(error, Halted):
            self.halt_for("sends", error.halt)
        elif isinstance(error, Throttled):
            self._token_bucket.throttled(self._let_in_at.get(mentor_id, self._clock.monotonic()))
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

    async def run(self) -> None:
        """Open the gate whenever there are tokens again, until cancelled."""
        while True:
            self._changed.clear()
            wait = self._open_for_all()
            self._timed = wait is not None
            await self._until_changed(wait)

    def _look_again(self) -> None:
        """Look whom a newcomer or a place freed lets in; where tokens or a probe's time are awaited, it is nobody."""
        if not self._timed:
            self._changed.set()

    def _open_for_all(self) -> float | None:
        """Open for whom it may; give the seconds until it may open again, or None if a change must come first."""
        while self._queue:
            if self._halts:
                return self._open_for_probe()
            permit = self._queue.next(self._clock.monotonic())
            if self.in_flight and self.in_flight + permit.emails > self._max_in_flight:
                return None
            wait = self._token_bucket.seconds_until(permit.emails)
            if wait is None:
                return None
            if wait > 0:
                return max(wait, _LEAST_WAIT_SECONDS)
            self._token_bucket.take(permit.emails)
            self._open(permit)
        return None

    def _open_for_probe(self) -> float | None:
        if self._probing or {NO_CONTACTS, CONTACTS_NOT_READ} & set(self._halts.values()):
            return None
        now = self._clock.monotonic()
        if now < self._probe_at:
            return self._probe_at - now
        permit = min(self._queue, key=lambda waiting: (waiting.answer_was_lost, waiting.mentor_id == self._probed))
        self._probing = permit.probe = True
        self._probed = permit.mentor_id
        log.info("gate.probing", halt=self.halt)
        self._open(permit)
        return None

    def _open(self, permit: Permit) -> None:
        self._queue.take(permit)
        self._let_in_at[permit.mentor_id] = self._clock.monotonic()
        self.in_flight += permit.emails
        permit.opened.set()

    async def _until_changed(self, seconds: float | None) -> None:
        if seconds is None:
            await self._changed.wait()
            return
        sleeping = asyncio.create_task(self._clock.sleep(seconds))
        sleeping.add_done_callback(lambda _: self._changed.set())
        try:
            await self._changed.wait()
        finally:
            if not sleeping.done():
                sleeping.cancel()
                await asyncio.gather(sleeping, return_exceptions=True)
