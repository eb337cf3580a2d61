"""The checker of feedback: what the topic says of each e-mail, beside what the local SES itself says of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from statistics import median

from schemas.events import REPLICA_SOURCE, dispatch_id
from tests.chaos.checker import last_final
from tests.chaos.evidence import Evidence, Reported

Made = tuple[str, str]
"""A report that was made: the message id and the kind."""

_STATES = {
    "send": "accepted",
    "delivery_delay": "delayed",
    "delivery": "delivered",
    "rendering_failure": "rendering_failed",
    "reject": "rejected",
    "bounce": "bounced",
    "complaint": "complained",
}
"""By kind, from the least severe to the most severe."""
_ORDER = list(_STATES.values())


@dataclass
class FeedbackFindings:
    """The findings about feedback; each list names what it counts."""

    made: int
    """Reports that were made, each counted once."""
    copies: int
    """Records beyond the first of a report."""
    before_outcome: int
    """Records that were on their topic before the outcome of their dispatch was, or before the dispatch itself."""
    lost: list[str]
    """Reports that are not on the topic."""
    invented: list[str]
    """Reports on the topic that nobody made."""
    lowered: list[str]
    """E-mails whose reports do not combine to what SES says of them."""
    untold: list[str]
    """E-mails to mentors that bounced, and of which no coordinator is told."""


def examine_feedback(evidence: Evidence, *, early: Collection[Made] = ()) -> FeedbackFindings:
    """Return the findings; *early* are the reports that a test made before their dispatch existed."""
    made = {(fate.message_id, kind) for fate in evidence.fates.values() for kind in fate.kinds} | set(early)
    found = {(report.message_id, report.kind) for report in evidence.feedback}
    return FeedbackFindings(
        made=len(made),
        copies=len(evidence.feedback) - len(found),
        before_outcome=sum(_before_outcome(evidence)),
        lost=[f"{kind} of {message_id}" for message_id, kind in sorted(made - found)],
        invented=[f"{kind} of {message_id}" for message_id, kind in sorted(found - made)],
        lowered=list(_lowered(evidence)),
        untold=list(_untold(evidence)),
    )


def _before_outcome(evidence: Evidence) -> Iterator[bool]:
    ended: dict[str, float] = {}
    for record in evidence.records:
        if record.final:
            ended[record.dispatch_id] = min(record.at, ended.get(record.dispatch_id, record.at))
    for report in evidence.feedback:
        yield report.at < ended.get(report.dispatch_id, report.at + 1)


def _lowered(evidence: Evidence) -> Iterator[str]:
    reports: dict[str, list[Reported]] = defaultdict(list)
    for report in evidence.feedback:
        reports[report.message_id].append(report)
    for fate in evidence.fates.values():
        state = _folded(reports[fate.message_id])
        if state != fate.state:
            yield f"{fate.message_id}: {state}, but SES says {fate.state}"


def _folded(reports: Iterable[Reported]) -> str | None:
    states = ["delivered" if report.automatic_reply else _STATES[report.kind] for report in reports]
    return max(states, key=_ORDER.index, default=None)


def _untold(evidence: Evidence) -> Iterator[str]:
    ended = last_final(evidence.records)
    for mail in evidence.mails:
        fate, of = evidence.fates.get(mail.message_id), ended.get(mail.dispatch_id)
        if fate is None or fate.state != "bounced" or of is None or mail.recipient != of.mentor_id:
            continue
        if dispatch_id(REPLICA_SOURCE, f"undelivered-{mail.dispatch_id}", of.mentor_id) not in ended:
            yield f"{mail.dispatch_id} to {mail.recipient}"


def suppressed(evidence: Evidence, *, except_contacts: Collection[str]) -> list[str]:
    """Return who was suppressed, without these contacts."""
    return sorted(
        f"{record.dispatch_id} to {contact_id}"
        for record in last_final(evidence.records).values()
        for contact_id, stood in record.recipients.items()
        if stood.status == "suppressed" and contact_id not in except_contacts
    )


@dataclass(frozen=True)
class Doubts:
    """Recipients whose answer was lost, and how long their dispatch took from the first e-mail to its end."""

    recipients: int
    median: float
    longest: float


def doubts(evidence: Evidence) -> Doubts:
    """Return what became of lost answers."""
    lost = {
        (record.dispatch_id, contact_id)
        for record in evidence.records
        for contact_id, stood in record.recipients.items()
        if stood.answers_lost
    }
    sent: dict[str, float] = {}
    for mail in evidence.mails:
        sent[mail.dispatch_id] = min(mail.at, sent.get(mail.dispatch_id, mail.at))
    ended: dict[str, float] = {}
    for record in evidence.records:
        if record.final:
            ended[record.dispatch_id] = min(record.at, ended.get(record.dispatch_id, record.at))
    waits = [ended[one] - sent[one] for one, _ in lost if one in ended and one in sent]
    return Doubts(len(lost), median(waits) if waits else 0.0, max(waits, default=0.0))
