"""What becomes of mails after they are accepted: in the mailbox, on the suppression list, and in events."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from deploy.local.ses.event_records import DESTINATION_ADDED, describe_mail, event_record, sns_envelope
from deploy.local.ses.mails import Report
from deploy.local.ses.message_ids import message_id
from deploy.local.ses.outcomes import SEND, fates, is_simulated
from deploy.local.sqs.names import QUEUE, TOPIC_ARN
from schemas.feedback import FeedbackKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.local.ses.account import Account
    from deploy.local.ses.mails import Mail, Mailbox
    from deploy.local.ses.outbox import Outbox
    from deploy.local.ses.outcomes import Outcome
    from deploy.local.ses.suppression_list import SuppressionList
    from deploy.local.ses.timers import Timers

MATCHING_EVENT_TYPES = [kind.upper() for kind in FeedbackKind]


@dataclass(frozen=True, slots=True)
class Sent:
    """What is kept of an accepted mail until all reports about it are made; *about* is None if none is published."""

    mail_id: str
    accepted_at: float
    about: dict[str, Any] | None


class Events:
    """Decide what becomes of mails with a configuration set, and publish it if there is a queue."""

    def __init__(
        self,
        *,
        account: Account,
        mailbox: Mailbox,
        suppressions: SuppressionList,
        timers: Timers,
        outbox: Outbox | None,
        clock: Callable[[], float],
    ) -> None:
        self._account = account
        self._mailbox = mailbox
        self._suppressions = suppressions
        self._timers = timers
        self._outbox = outbox
        self._clock = clock
        self._random = Random()  # noqa: S311 - ids must be unique, not secret
        self._counted: Counter[str] = Counter()
        self._sending: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start to publish; SES's first message is a line of text."""
        if self._outbox is not None:
            self._outbox.put(sns_envelope(DESTINATION_ADDED, self._clock()))
            self._sending = asyncio.create_task(self._outbox.run(), name="events")

    async def end(self) -> None:
        """Stop to publish: what waits is lost."""
        self._timers.cancel()
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait([self._sending])

    def accepted(self, mail: Mail) -> None:
        """Let happen what becomes of a mail, after its answer; without a configuration set SES reports nothing."""
        if mail.email.configuration_set:
            self._later(0, partial(self._begin, mail))

    def report(self, mail: Mail, outcome: Outcome) -> bool:
        """Report *outcome* about all recipients of *mail* now; return whether an event is published."""
        sent = self._sent(mail)
        self._happen(sent, outcome, mail.email.recipients)
        return sent.about is not None

    def destinations(self) -> list[dict[str, Any]]:
        """Return the event destinations of every configuration set, as SES describes them."""
        if self._outbox is None:
            return []
        return [
            {
                "Name": QUEUE,
                "Enabled": True,
                "MatchingEventTypes": MATCHING_EVENT_TYPES,
                "SnsDestination": {"TopicArn": TOPIC_ARN},
            }
        ]

    def counters(self) -> dict[str, int]:
        """Return the numbers of events since the start, for JSON."""
        sent, waiting, dropped = (0, 0, 0) if self._outbox is None else self._outbox.counters()
        return {
            "sent": sent,
            "waiting": waiting + len(self._timers),
            "lost": self._counted["lost"],
            "duplicated": self._counted["duplicated"],
            "dropped": dropped + self._counted["dropped"],
        }

    def _begin(self, mail: Mail) -> None:
        sent, addresses = self._sent(mail), mail.email.recipients
        self._publish(sent, self._new_report(SEND, addresses, mail.accepted_at))
        seconds = self._account.faults.outcome_seconds
        for outcomes, recipients in fates(addresses, suppressed=self._suppressions.holds).items():
            for step, outcome in enumerate(outcomes, start=1):
                self._later(step * seconds, partial(self._happen, sent, outcome, recipients))

    def _sent(self, mail: Mail) -> Sent:
        publishes = self._outbox is not None and bool(mail.email.configuration_set)
        return Sent(mail.message_id, mail.accepted_at, describe_mail(mail) if publishes else None)

    def _happen(self, sent: Sent, outcome: Outcome, recipients: list[str]) -> None:
        report = self._new_report(outcome, recipients, self._clock())
        self._mailbox.add_report(sent.mail_id, report)
        if outcome.suppresses is not None:
            for address in recipients:
                if not is_simulated(address):
                    self._suppressions.add(address, outcome.suppresses, report.at, sent.mail_id, report.feedback_id)
        self._publish(sent, report)

    def _new_report(self, outcome: Outcome, recipients: list[str], at: float) -> Report:
        return Report(outcome, at, recipients, message_id(at, self._random))

    def _publish(self, sent: Sent, report: Report) -> None:
        if self._outbox is None or sent.about is None:
            return

        delays = self._account.draw_event_delays()
        self._counted["lost"] += int(not delays)
        self._counted["duplicated"] += int(len(delays) > 1)
        if delays:
            message = sns_envelope(event_record(sent.about, report, accepted_at=sent.accepted_at), self._clock())
            for seconds in delays:
                self._later(seconds, partial(self._outbox.put, message))

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        if not self._timers.after(seconds, action):
            self._counted["dropped"] += 1
