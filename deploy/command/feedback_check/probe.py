"""Send e-mails to SES's simulator, and time the reports about them."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from consumers.email import AnswerLost, Email, EmailError
from deploy.command.feedback_check.cloud import Cloud
from deploy.command.feedback_check.evidence import PARTITION, Evidence
from deploy.command.findings import Finding, State
from runtime.clock import Clock
from runtime.settings import env_name
from schemas.feedback import FeedbackKind

CHECK = "feedback way"
RECONCILE = "feedback time"
SIMULATOR = "success@simulator.amazonses.com"
RECIPIENT = "doctor"
"""The tag `recipient` of the check's e-mails."""

GAP_SECONDS = 1.1
"""Between two e-mails: the sandbox sends one a second."""
WAIT_SECONDS = 60.0
"""For the reports about the last e-mail."""

_PERCENTILE = 0.99
_TIMES = 3
_LEAST_SECONDS = 5
_MOST_SECONDS = 900
_AWAITED = (FeedbackKind.SEND, FeedbackKind.DELIVERY)


def new_ids(number: int) -> list[str]:
    """Return dispatch ids that no event has."""
    return [secrets.token_hex(16) for _ in range(number)]


@dataclass
class Measured:
    """When reports about each e-mail arrived, in seconds after its call to SES began."""

    seconds: dict[str, dict[FeedbackKind, float]] = field(default_factory=dict)
    """By dispatch id, of every e-mail that was sent."""
    refused: EmailError | None = None
    """Why sending ended early."""

    def of(self, kind: FeedbackKind) -> list[float]:
        """Return the times of one kind of report."""
        return sorted(found[kind] for found in self.seconds.values() if kind in found)

    @property
    def first(self) -> list[float]:
        """Return the times of the first report about each e-mail."""
        return sorted(min(found.values()) for found in self.seconds.values() if found)

    @property
    def complete(self) -> bool:
        """Return whether every awaited report has arrived."""
        return all(kind in found for found in self.seconds.values() for kind in _AWAITED)


class Probe:
    """Sends one e-mail for each id, one after another, and reads reports at the same time."""

    def __init__(self, cloud: Cloud, evidence: Evidence, clock: Clock, ids: Sequence[str]) -> None:
        self._cloud = cloud
        self._evidence = evidence
        self._clock = clock
        self._ids = ids
        self._began: dict[str, float] = {}
        self._measured = Measured()

    async def measure(self) -> Measured:
        """
        Return what arrived, at the latest `WAIT_SECONDS` after the last e-mail.

        Raises:
            NoEvidence, KafkaError, OSError: Reports cannot be read.
        """
        sending = asyncio.create_task(self._send_all())
        try:
            await self._watch(sending)
            await sending
        finally:
            sending.cancel()
            await asyncio.wait({sending})
        return self._measured

    async def _send_all(self) -> None:
        for number, dispatch_id in enumerate(self._ids):
            if number:
                await self._clock.sleep(GAP_SECONDS)
            self._began[dispatch_id] = self._clock.monotonic()
            self._measured.seconds[dispatch_id] = {}
            try:
                await self._cloud.send(email(dispatch_id))
            except EmailError as error:
                self._measured.refused = error
                if not isinstance(error, AnswerLost):
                    del self._measured.seconds[dispatch_id]
                return

    async def _watch(self, sending: asyncio.Task[None]) -> None:
        while not sending.done() or not (self._measured.complete or self._is_late()):
            for report in await self._evidence.new():
                found = self._measured.seconds.get(report.dispatch_id)
                if found is not None and report.kind in _AWAITED:
                    found.setdefault(report.kind, self._clock.monotonic() - self._began[report.dispatch_id])

    def _is_late(self) -> bool:
        return self._clock.monotonic() >= max(self._began.values(), default=0.0) + WAIT_SECONDS


def email(dispatch_id: str) -> Email:
    """Return an e-mail of the check, with the tags of any other."""
    text = "This e-mail checks that reports about e-mails arrive. Nobody reads it."
    return Email(
        to=SIMULATOR,
        subject="Check of feedback",
        text=text,
        html=f"<p>{text}</p>",
        tags={"dispatch_id": dispatch_id, "recipient": RECIPIENT, "partition": str(PARTITION)},
    )


def proposed_seconds(first: Sequence[float]) -> int:
    """Return how long to wait for evidence: three times what 99 % of the first reports took, and 5 s at least."""
    within = sorted(first)[math.ceil(_PERCENTILE * len(first)) - 1]
    return min(max(math.ceil(_TIMES * within), _LEAST_SECONDS), _MOST_SECONDS)


def way_findings(measured: Measured, where: str, reconcile_seconds: float) -> list[Finding]:
    """Return the findings about the whole way, and about how long to wait for evidence."""
    if measured.refused is not None and not measured.first:
        advice = "solve this first; the checks of the SES account say more"
        return [Finding(CHECK, State.FAIL, f"no e-mail could be sent: {measured.refused}", advice)]
    sent, first = len(measured.seconds), measured.first
    if len(first) < sent:
        return [_silence(sent, sent - len(first), where)]
    return [_way_finding(measured, where), _time_finding(first, reconcile_seconds)]


def _silence(sent: int, silent: int, where: str) -> Finding:
    detail = f"of {_emails(sent)} to {SIMULATOR}, {silent} had neither Send nor Delivery in {WAIT_SECONDS:g} s; {where}"
    advice = "look at the queue, at its dead-letter queue, and at the log of the replicas: do they refuse the messages?"
    return Finding(CHECK, State.FAIL, detail, advice)


def _way_finding(measured: Measured, where: str) -> Finding:
    sent = len(measured.seconds)
    times = [
        f"{kind.value} of {len(measured.of(kind))} after {_span(measured.of(kind))}"
        for kind in _AWAITED
        if measured.of(kind)
    ]
    detail = f"{_emails(sent)} to {SIMULATOR}: {', '.join(times)}; {where}"
    if measured.refused is not None:
        advice = f"sending ended early: {measured.refused}"
        return Finding(CHECK, State.WARN, detail, advice)
    if measured.complete:
        return Finding(CHECK, State.OK, detail)
    advice = f"the others did not come within {WAIT_SECONDS:g} s: check the types of the event destination"
    return Finding(CHECK, State.WARN, detail, advice)


def _emails(number: int) -> str:
    return f"{number} e-mail" if number == 1 else f"{number} e-mails"


def _span(times: Sequence[float]) -> str:
    return f"{times[0]:.1f} to {times[-1]:.1f} s"


def _time_finding(first: Sequence[float], reconcile_seconds: float) -> Finding:
    setting, proposed = env_name("reconcile_seconds"), proposed_seconds(first)
    detail = f"the first sign of an e-mail came after {first[-1]:.1f} s at most, and {setting} is {reconcile_seconds:g}"
    if reconcile_seconds < proposed:
        advice = f"set {setting}={proposed}: sooner, a lost answer may be sent again before its evidence comes"
        return Finding(RECONCILE, State.WARN, detail, advice)
    return Finding(RECONCILE, State.OK, f"{detail}; {proposed} or more will do")
