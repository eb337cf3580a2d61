"""The checker of every scenario and of every peer: pure functions of the evidence."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from tests.chaos.evidence import Evidence, Mail, Record

_EXPLAIN = 20
"""How many of a kind are named in a report; all are counted."""
_NEEDS_A_LETTER = frozenset({"failed", "unknown"})
_TOLD_NOT_SENT = frozenset({"failed", "unknown", "expired", "suppressed"})


@dataclass
class Findings:
    """The findings of a run. Each list names what it counts, so that a person can look it up."""

    acknowledged: int = 0
    mails: int = 0
    not_ended: list[str] = field(default_factory=list)
    """Acknowledged events without exactly one final dispatch."""
    lost: list[str] = field(default_factory=list)
    """E-mails that were due, that SES never accepted, and that no dispatch explains."""
    without_letter: list[str] = field(default_factory=list)
    """Failed, unknown or unknown-mentor dispatches without a dead letter."""
    doubled: list[str] = field(default_factory=list)
    """E-mails beyond the first of an event to a recipient."""
    unexplained: list[str] = field(default_factory=list)
    """Of these, those without a lost answer."""
    out_of_order: list[str] = field(default_factory=list)
    """Mentors whose e-mails SES accepted in another order than that of their topic's log."""
    committed_early: list[str] = field(default_factory=list)
    """Events whose offset was committed before their dispatch was final."""
    untrue: list[str] = field(default_factory=list)
    """False answers and records: sent with an id that SES never gave, or refused but durable."""
    stuck: list[str] = field(default_factory=list)
    """Partitions whose committed offset is not their end, although nothing was left to do."""
    letters: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    standstill: float = 0.0
    """The longest time in seconds without an e-mail from a partition that had e-mails due."""


def examine(evidence: Evidence, *, peer: bool = False) -> Findings:
    """Return the findings of a run. A *peer* has no dispatches: only its e-mails and final commits are checked."""
    found = Findings(acknowledged=len(evidence.acknowledged), mails=len(evidence.mails))
    found.letters = Counter(letter.reason for letter in evidence.letters)
    sent = Counter((mail.dispatch_id, mail.recipient) for mail in evidence.mails)
    ended = {} if peer else last_final(evidence.records)
    _check_ends(evidence, ended, sent, found, peer=peer)
    _check_doubles(evidence, sent, found)
    found.out_of_order = sorted(_out_of_order(evidence))
    found.stuck = sorted(_stuck(evidence))
    found.standstill = max(standstills(evidence).values(), default=0.0)
    if not peer:
        found.committed_early = list(_committed_early(evidence))
        found.untrue = list(_untrue(evidence, ended))
        found.statuses = Counter(one.status for record in ended.values() for one in record.recipients.values())
    return found


def last_final(records: Iterable[Record]) -> dict[str, Record]:
    """Return the last final record of each dispatch."""
    return {record.dispatch_id: record for record in records if record.final}


def _check_ends(
    evidence: Evidence, ended: dict[str, Record], sent: Counter[tuple[str, str]], found: Findings, *, peer: bool
) -> None:
    set_aside = {letter.dispatch_id for letter in evidence.letters}
    for event in evidence.acknowledged.values():
        end = ended.get(event.dispatch_id)
        if end is None and not peer:
            found.not_ended.append(event.dispatch_id)
        for recipient in sorted(event.due):
            if sent[event.dispatch_id, recipient] == 0 and not _excused(end, recipient):
                found.lost.append(f"{event.dispatch_id} to {recipient}")
        if end is not None and _needs_letter(end) and event.dispatch_id not in set_aside:
            found.without_letter.append(event.dispatch_id)


def _excused(end: Record | None, recipient: str) -> bool:
    """Return whether the dispatch records that this e-mail was not sent, and why."""
    if end is None:
        return False
    if end.retry_of is not None:
        return True
    stood = end.recipients.get(recipient)
    return end.unknown_mentor if stood is None else stood.status in _TOLD_NOT_SENT


def _needs_letter(end: Record) -> bool:
    if end.retry_of is not None:
        return False
    return end.unknown_mentor or any(one.status in _NEEDS_A_LETTER for one in end.recipients.values())


def _check_doubles(evidence: Evidence, sent: Counter[tuple[str, str]], found: Findings) -> None:
    """Find e-mails sent again: allowed only if an answer was lost, by SES (as its log says) or with the process."""
    lost: Counter[tuple[str, str]] = Counter(
        (mail.dispatch_id, mail.recipient) for mail in evidence.mails if mail.answer_lost
    )
    recorded: Counter[tuple[str, str]] = Counter()
    for record in evidence.records:
        for recipient, stood in record.recipients.items():
            key = record.dispatch_id, recipient
            recorded[key] = max(recorded[key], stood.answers_lost)
    for key, count in sent.items():
        surplus = [f"{key[0]} to {key[1]}"] * (count - 1)
        found.doubled += surplus
        found.unexplained += surplus[max(lost[key], recorded[key]) :]


def _out_of_order(evidence: Evidence) -> Iterator[str]:
    origins = {
        event.dispatch_id: (event.topic, event.partition, event.offset)
        for event in evidence.acknowledged.values()
        if event.offset is not None
    }
    origins |= {record.dispatch_id: record.origin for record in evidence.records}
    mentors = {event.dispatch_id: event.mentor_id for event in evidence.acknowledged.values()}
    latest: dict[tuple[str, str, str], int] = {}
    broken: set[str] = set()
    for mail in sorted(evidence.mails, key=lambda mail: mail.at):
        origin, mentor = origins.get(mail.dispatch_id), mentors.get(mail.dispatch_id)
        if origin is None or mentor is None:
            continue
        lane = mentor, mail.recipient, origin[0]
        if origin[2] < latest.get(lane, -1):
            broken.add(mentor)
        latest[lane] = max(origin[2], latest.get(lane, -1))
    yield from broken


def _committed_early(evidence: Evidence) -> Iterator[str]:
    """Check each sample of the group's offsets: every event before them must have been final by then."""
    ended_at: dict[str, float] = {}
    origins: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
    for record in sorted(evidence.records, key=lambda record: record.at):
        if record.final:
            ended_at.setdefault(record.dispatch_id, record.at)
        topic, partition, offset = record.origin
        origins[topic, partition].append((offset, record.dispatch_id))
    blamed: set[str] = set()
    for sample in evidence.commits:
        for place, committed in sample.offsets.items():
            for offset, dispatch_id in origins[place]:
                if offset < committed and ended_at.get(dispatch_id, sample.at + 1) > sample.at:
                    blamed.add(dispatch_id)
    yield from sorted(blamed)


def _untrue(evidence: Evidence, ended: dict[str, Record]) -> Iterator[str]:
    accepted = {mail.message_id for mail in evidence.mails}
    for record in ended.values():
        for recipient, stood in record.recipients.items():
            if stood.status == "sent" and stood.message_id not in accepted:
                yield f"{record.dispatch_id} to {recipient}: recorded as sent, but SES accepted no {stood.message_id}"
    for answer in evidence.answers:
        for recipient, (status, message_id) in answer.recipients.items():
            if status == "sent" and message_id not in accepted:
                yield f"{answer.dispatch_id} to {recipient}: told as sent, but SES accepted no {message_id}"
    durable = {record.dispatch_id for record in evidence.records}
    for dispatch_id in evidence.refused:
        if dispatch_id in durable:
            yield f"{dispatch_id}: told as surely not durable, but there is a dispatch"


def _stuck(evidence: Evidence) -> Iterator[str]:
    last = evidence.commits[-1].offsets if evidence.commits else {}
    for place, end in evidence.ends.items():
        committed = last.get(place, 0)
        if committed < end:
            yield f"{place[0]}-{place[1]}: committed {committed} of {end}"


def standstills(evidence: Evidence) -> dict[int, float]:
    """Return for each partition the longest time without an e-mail while e-mails were due."""
    partitions = {event.dispatch_id: event.partition for event in evidence.acknowledged.values()}
    sent: dict[int, list[float]] = defaultdict(list)
    for mail in evidence.mails:
        if mail.dispatch_id in partitions:
            sent[partitions[mail.dispatch_id]].append(mail.at)
    due = _first_due(evidence)
    return {number: _longest_gap(sorted(sent[number]), stretches) for number, stretches in due.items()}


def fleet_pause(evidence: Evidence) -> float:
    """Return the longest time in seconds without an e-mail from any partition while at least one was due."""
    due = _merged(sorted(pair for stretches in _first_due(evidence).values() for pair in stretches))
    return _longest_gap(sorted(mail.at for mail in evidence.mails), due)


def _first_due(evidence: Evidence) -> dict[int, list[tuple[float, float]]]:
    """Return for each partition the periods in which at least one event was acknowledged and not yet sent."""
    first: dict[str, float] = {}
    for mail in evidence.mails:
        first[mail.dispatch_id] = min(mail.at, first.get(mail.dispatch_id, mail.at))
    stretches: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for event in evidence.acknowledged.values():
        if event.dispatch_id in first:
            stretches[event.partition].append((event.at, first[event.dispatch_id]))
    return {number: _merged(sorted(pairs)) for number, pairs in stretches.items()}


def _merged(pairs: list[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for begin, end in pairs:
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        elif end > begin:
            merged.append((begin, end))
    return merged


def _longest_gap(sent: list[float], stretches: list[tuple[float, float]]) -> float:
    longest = 0.0
    for begin, end in stretches:
        within = sent[bisect_right(sent, begin) : bisect_left(sent, end)]
        moments = [begin, *within, end]
        longest = max(longest, *(later - earlier for earlier, later in pairwise(moments)))
    return longest


def back_at_work(evidence: Evidence, at: float) -> float | None:
    """Return the seconds from *at* until every partition that had e-mails due has sent one; None if one never has."""
    due = {
        number
        for number, stretches in _first_due(evidence).items()
        if any(begin <= at < end for begin, end in stretches)
    }
    partitions = {event.dispatch_id: event.partition for event in evidence.acknowledged.values()}
    first: dict[int, float] = {}
    for mail in evidence.mails:
        number = partitions.get(mail.dispatch_id)
        if number in due and mail.at > at:
            first[number] = min(mail.at, first.get(number, mail.at))
    if due - first.keys():
        return None
    return max((moment - at for moment in first.values()), default=0.0)


def slowest(evidence: Evidence, *, except_mentors: Iterable[str] = ()) -> float:
    """Return the longest time in seconds from an acknowledgement to the first e-mail, without these mentors."""
    left_out = set(except_mentors)
    first: dict[str, Mail] = {}
    for mail in sorted(evidence.mails, key=lambda mail: mail.at):
        first.setdefault(mail.dispatch_id, mail)
    waits = (
        first[event.dispatch_id].at - event.at
        for event in evidence.acknowledged.values()
        if event.mentor_id not in left_out and event.dispatch_id in first
    )
    return max(waits, default=0.0)


def named(findings: list[str]) -> str:
    """Return the first findings, as text for a person."""
    more = f" and {len(findings) - _EXPLAIN} more" if len(findings) > _EXPLAIN else ""
    return ", ".join(findings[:_EXPLAIN]) + more
