"""Decides when a send may begin: the rate, the sends in flight, the order of those who wait, and halts.

A halt is a rate of zero with a reason. During a halt one probe at a time goes through, each with another mentor's
e-mail. So the end of an outage is seen without a storm of sends, and no single mentor bears the risk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from consumers.admission.fair_queue import Permit
from consumers.admission.token_bucket import TokenBucket
from consumers.admission.weighted_queue import WeightedQueue
from consumers.email import AnswerLost, EmailError, Halted, NotSent, Refused, Throttled
from runtime.clock import Clock

__all__ = [
    "CONTACTS_NOT_READ",
    "CONTROLS_NOT_READ",
    "NO_CONTACTS",
    "STOPPED_BY_OPERATOR",
    "SUPPRESSIONS_NOT_READ",
    "UNREACHABLE",
    "Gate",
    "Permit",
]

log = structlog.get_logger(__name__)

_FIRST_PROBE_SECONDS = 1.0
_MAX_PROBE_SECONDS = 5.0
_MENTORS_OF_AN_OUTAGE = 3
_MIN_WAIT_SECONDS = 0.005
"""At hundreds of e-mails a second several begin at once: SES does not see the difference, and it costs less CPU."""

NO_CONTACTS = "no_contacts"
CONTACTS_NOT_READ = "contacts_not_read"
SUPPRESSIONS_NOT_READ = "suppressions_not_read"
CONTROLS_NOT_READ = "controls_not_read"
STOPPED_BY_OPERATOR = "stopped_by_operator"
UNREACHABLE = "ses_unreachable"
_NOT_READ = frozenset({CONTACTS_NOT_READ, SUPPRESSIONS_NOT_READ, CONTROLS_NOT_READ})
_NO_PROBE = _NOT_READ | {NO_CONTACTS, STOPPED_BY_OPERATOR}
"""Halts that no e-mail may probe: it is not known whom to write to, or nobody may be written to."""


class Gate:
    """Lets a send begin when the account's rate and health allow it."""

    def __init__(
        self, clock: Clock, *, max_in_flight: int, rate: float, headroom: float = 0.0, slow_share: float = 0.0
    ) -> None:
        self._clock = clock
        self.max_in_flight = max_in_flight
        self._token_bucket = TokenBucket(clock, account_rate=rate, headroom=headroom)
        self._queue = WeightedQueue(slow_share)
        self._began_at: dict[str, float] = {}
        """When each send in flight began, by mentor: a mentor's events are sent one after the other."""
        self._changed = asyncio.Event()
        self._timer_set = False
        """Whether the gate wakes up by itself, when there are tokens or a probe is due."""
        self._halts: dict[str, str] = {}
        self._suspects: set[str] = set()
        self._probing = False
        self._probe_wait = _FIRST_PROBE_SECONDS
        self._probe_at = 0.0
        self._last_probed: str | None = None
        self.in_flight = 0
        self.begun = 0
        """How many e-mails were let through."""
        self.accepted_at = float("-inf")
        """Monotonic time at which SES last accepted an e-mail."""

    @property
    def rate(self) -> float:
        """Return the e-mails per second that this replica may send now; 0 while halted."""
        return 0.0 if self._halts else self._token_bucket.rate

    @property
    def account_rate(self) -> float:
        """Return the account's own rate, in e-mails per second over all replicas."""
        return self._token_bucket.account_rate

    @property
    def halt(self) -> str | None:
        """Return why nothing is sent, or None."""
        return next(iter(self._halts.values()), None)

    @property
    def stopped(self) -> bool:
        """Return whether an operator stopped all sending: then what has not begun must not begin."""
        return STOPPED_BY_OPERATOR in self._halts.values()

    @property
    def waiting(self) -> int:
        """Return how many permits wait."""
        return len(self._queue)

    def set_account_rate(self, rate: float) -> None:
        """Set the account's own rate, in e-mails per second over all replicas."""
        self._token_bucket.set_account_rate(rate)
        self._changed.set()

    def set_share(self, owned: int, partitions: int) -> None:
        """Set this replica's share of the rate: *owned* of all *partitions*."""
        self._token_bucket.set_share(owned / partitions if partitions else 0.0)
        self._changed.set()

    def halt_for(self, source: str, reason: str) -> None:
        """Stop sending for a reason, until *source* resumes."""
        if self._halts.get(source) != reason:
            log_halt = log.info if reason in _NOT_READ else log.error
            log_halt("gate.halted", source=source, reason=reason)
            self._changed.set()
        self._halts[source] = reason

    def resume(self, source: str) -> None:
        """End the halt of *source*, if there is one."""
        if self._halts.pop(source, None) is not None:
            log.info("gate.resumed", source=source, halt=self.halt)
            self._changed.set()

    @contextmanager
    def leaving(self, permit: Permit) -> Iterator[None]:
        """Count the permit's sends as in flight until the block ends."""
        try:
            yield
        finally:
            self.in_flight -= permit.emails
            self._began_at.pop(permit.mentor_id, None)
            if permit.probe:
                self._probing = False
                self._probe_at = self._clock.monotonic() + self._probe_wait
                self._probe_wait = min(self._probe_wait * 2, _MAX_PROBE_SECONDS)
            self._wake()

    async def enter(self, permit: Permit) -> None:
        """Wait until *permit* may send. Its sends then count as in flight, and `leaving` must follow."""
        self._queue.add(permit, self._clock.monotonic())
        self._wake()
        try:
            await permit.granted.wait()
        except asyncio.CancelledError:
            if permit.granted.is_set():
                with self.leaving(permit):
                    pass
            else:
                self._queue.leave(permit)
                self._wake()
            raise

    def hasten(self, permit: Permit) -> None:
        """Let a slow permit go with the others, if it still waits."""
        if permit.slow and not permit.granted.is_set():
            self._queue.hasten(permit, self._clock.monotonic())

    def report(self, mentor_id: str, error: EmailError | None) -> None:
        """Take the result of one send: its error, or None if SES accepted it."""
        if error is None:
            self._accepted()
        elif isinstance(error, Halted):
            self.halt_for("sends", error.halt)
        elif isinstance(error, Refused):
            self._reached()
        elif isinstance(error, Throttled):
            self._reached()
            self._token_bucket.throttled(self._began_at.get(mentor_id, self._clock.monotonic()))
        elif isinstance(error, AnswerLost) or (isinstance(error, NotSent) and error.unreachable):
            self._suspects.add(mentor_id)
            if len(self._suspects) >= _MENTORS_OF_AN_OUTAGE:
                self.halt_for("sends", UNREACHABLE)

    def _reached(self) -> None:
        """Note that SES has answered about one e-mail: whatever the account's state is, SES is not unreachable."""
        self._suspects.clear()
        if self._halts.get("sends") == UNREACHABLE:
            self._probe_wait = _FIRST_PROBE_SECONDS
            self.resume("sends")

    def _accepted(self) -> None:
        self.accepted_at = self._clock.monotonic()
        self._reached()
        self._probe_wait = _FIRST_PROBE_SECONDS
        self.resume("sends")
        self.resume("account")

    async def run(self) -> None:
        """Grant permits whenever there are tokens, until cancelled."""
        while True:
            self._changed.clear()
            wait = self._grant_all()
            self._timer_set = wait is not None
            await self._until_changed(wait)

    def _wake(self) -> None:
        """Check again who may send; while the gate waits for tokens or a probe's time, nobody may."""
        if not self._timer_set:
            self._changed.set()

    def _grant_all(self) -> float | None:
        """Grant what may be granted; return the seconds until more may be, or None if something must change first."""
        while self._queue:
            if self._halts:
                return self._grant_probe()
            permit = self._queue.next(self._clock.monotonic())
            if self.in_flight and self.in_flight + permit.emails > self.max_in_flight:
                return None
            wait = self._token_bucket.seconds_until(permit.emails)
            if wait is None:
                return None
            if wait > 0:
                return max(wait, _MIN_WAIT_SECONDS)
            self._token_bucket.take(permit.emails)
            self._grant(permit)
        return None

    def _grant_probe(self) -> float | None:
        if self._probing or not _NO_PROBE.isdisjoint(self._halts.values()):
            return None
        now = self._clock.monotonic()
        if now < self._probe_at:
            return self._probe_at - now
        permit = min(self._queue, key=lambda waiting: (waiting.answer_was_lost, waiting.mentor_id == self._last_probed))
        self._probing = permit.probe = True
        self._last_probed = permit.mentor_id
        log.info("gate.probing", halt=self.halt)
        self._grant(permit)
        return None

    def _grant(self, permit: Permit) -> None:
        self._queue.take(permit)
        self._began_at[permit.mentor_id] = self._clock.monotonic()
        self.in_flight += permit.emails
        self.begun += permit.emails
        permit.granted.set()

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
