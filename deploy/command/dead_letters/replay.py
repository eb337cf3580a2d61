"""
Which dead letters may be sent again, in which order, and as what record: decided here, purely; nothing is read or done.

A replay asks the owner of the dispatch to reopen what had failed as the dispatch stood when the replay was made. The
owner leaves alone what was tried since (`consumers.delivery.decisions.reopen`),
so that a replay may be published twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from consumers.delivery.decisions import reopen
from deploy.command.dead_letters.selection import Found
from runtime.kafka.records import Place, Record
from runtime.kafka.topics import CONFIGS as TOPIC_CONFIGS
from runtime.kafka.topics import Topics, partition_for
from runtime.signing_keys import checked
from schemas import headers as names
from schemas.cloudevents import NotAnEvent, NotAnEventReason, decode
from schemas.dead_letters import DeadLetterReason
from schemas.dispatch import DISPATCHES_TOPIC, Dispatch, Origin, Status, dispatch_json, fold, parse_dispatch
from schemas.events import Event
from schemas.headers import Headers, header, header_text
from schemas.signatures import SigningKeys, without_ours
from schemas.times import format_instant, parse_instant

_CLOCKS = timedelta(hours=1)
"""How far the clocks of brokers may be apart."""

_DISPATCHES_KEPT = timedelta(milliseconds=int(TOPIC_CONFIGS[DISPATCHES_TOPIC]["retention.ms"]))

_NOT_KEPT = frozenset({names.REPLAY, names.APPENDED_AT, names.WAITS_MS, names.SIGNATURE})
"""Headers of the original that a replay has anew, or not at all: nobody waits for it as its caller did."""


class Skip(StrEnum):
    """Why a dead letter is not replayed: a stable code."""

    NOT_AN_EVENT = "not_an_event"
    UNREADABLE_BATCH = "unreadable_batch"
    RECORDS_DELETED = "records_deleted"
    RANGE = "range"
    CUT = "cut"
    CONFLICTING_DUPLICATE = "conflicting_duplicate"
    UNPROVEN_SOURCE = "unproven_source"
    SAME_DISPATCH = "same_dispatch"
    FORGOTTEN = "forgotten"
    UNDER_WAY = "under_way"
    SENT = "sent"
    NOTHING_TO_MEND = "nothing_to_mend"
    QUEUED = "queued"
    TOO_LATE = "too_late"
    ANSWERED = "answered"
    MAX_ROUNDS = "max_rounds"
    LIMIT = "limit"

    @property
    def says(self) -> str:
        """Say it for a person."""
        return _SAYS[self]


_SAYS: Mapping[Skip, str] = {
    Skip.NOT_AN_EVENT: "the record is no event; have its producer publish it anew",
    Skip.UNREADABLE_BATCH: "its bytes could not be read; have its producer publish the offsets anew",
    Skip.RECORDS_DELETED: "they were deleted before anybody saw them; have their producers publish them anew",
    Skip.RANGE: "it stands for many records and keeps the first; have their producer publish them anew",
    Skip.CUT: "it was too large to be kept whole",
    Skip.CONFLICTING_DUPLICATE: "other content under a known id; have its producer use a new id",
    Skip.UNPROVEN_SOURCE: "it says that it is the REST service's, and no key here proves it",
    Skip.SAME_DISPATCH: "a later dead letter of the same dispatch stands for it",
    Skip.FORGOTTEN: "the dispatches topic says nothing of it (any more)",
    Skip.UNDER_WAY: "it is being seen through again",
    Skip.SENT: "all its mails were sent since",
    Skip.NOTHING_TO_MEND: "nothing of it has failed: sent, expired or suppressed since",
    Skip.QUEUED: "a replay of it waits to be taken",
    Skip.TOO_LATE: "its mail would be too late to be true",
    Skip.ANSWERED: "its REST caller was told of the failure; --include-answered replays it all the same",
    Skip.MAX_ROUNDS: "it was tried again as often as --max-rounds allows",
    Skip.LIMIT: "beyond --limit",
}


@dataclass(frozen=True)
class Candidate:
    """A dead letter of an event that failed, and what of it is proven."""

    found: Found
    event: Event
    headers: Headers
    """The original's, without those of ours that nobody proves: a replay is signed, and must not sign a stranger's."""
    stood: Dispatch | None = None
    """The dispatch as it stood when the letter was set aside; None if nothing proves that a replica wrote it."""
    appended_at: datetime | None = None
    """The append time of the very first copy, from which expiry counts; None likewise."""


def candidate_of(found: Found, keys: SigningKeys) -> Candidate | Skip:
    """Judge a dead letter by itself."""
    letter, event = found.letter, found.event
    if (skip := _not_whole(found)) is not None:
        return skip
    if event is None:
        return Skip.NOT_AN_EVENT
    original = keys.check(letter.origin.topic, letter.key, letter.value, letter.headers)
    if letter.reason is DeadLetterReason.UNPROVEN_SOURCE and not original.proven:
        return Skip.UNPROVEN_SOURCE
    headers = letter.headers if original.proven else without_ours(letter.headers)
    if not found.proof(keys).proven:
        return Candidate(found, event, headers)
    if letter.dispatch is not None and event.dispatch_id != letter.dispatch.dispatch_id:
        return Skip.NOT_AN_EVENT
    return Candidate(found, event, headers, letter.dispatch, _first_append(headers, letter.origin.appended_at))


def _not_whole(found: Found) -> Skip | None:
    """Return why a dead letter holds no event that could be sent again, if its reason or its length says so."""
    if found.letter.reason is DeadLetterReason.UNREADABLE_BATCH:
        return Skip.UNREADABLE_BATCH
    if found.letter.reason is DeadLetterReason.RECORDS_DELETED:
        return Skip.RECORDS_DELETED
    if found.letter.reason is DeadLetterReason.CONFLICTING_DUPLICATE:
        return Skip.CONFLICTING_DUPLICATE
    if found.letter.last_offset is not None:
        return Skip.RANGE
    if header(found.record.headers, names.VALUE_LENGTH) is not None:
        return Skip.CUT
    return Skip.NOT_AN_EVENT if isinstance(found.letter.reason, NotAnEventReason) else None


def _first_append(headers: Headers, of_origin: datetime) -> datetime:
    text = header_text(headers, names.APPENDED_AT)
    try:
        return min(parse_instant(text), of_origin) if text else of_origin
    except ValueError:
        return of_origin


@dataclass
class Standings:
    """What the dispatches and event topics say by now of the dispatches asked for."""

    topics: Topics
    wanted: frozenset[str]
    keys: SigningKeys
    dispatches: dict[str, Dispatch] = field(default_factory=dict)
    replays: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    """By dispatch: topic and offset of the replays that were published."""

    def take(self, record: Record) -> None:
        """Take in a record of the dispatches or of an event topic; others are let pass, dead letters among them."""
        if record.topic == self.topics.dispatches:
            self._take_dispatch(record)
        elif record.topic in self.topics.events:
            self._take_event(record)

    def _take_dispatch(self, record: Record) -> None:
        dispatch_id = (record.key or b"").decode(errors="replace")
        later = parse_dispatch(record.value) if dispatch_id in self.wanted else None
        if later is not None:
            known = self.dispatches.get(dispatch_id)
            self.dispatches[dispatch_id] = later if known is None else fold(known, later)

    def _take_event(self, record: Record) -> None:
        if header(record.headers, names.REPLAY) is None or not checked(record, self.keys)[0].proven:
            return
        try:
            dispatch_id = decode(record.headers, record.value).dispatch_id
        except NotAnEvent:
            return
        self.replays.setdefault(dispatch_id, []).append((record.topic, record.offset))

    def of(self, candidate: Candidate) -> Dispatch | None:
        """
        Return a dispatch as it now stands, or None if it is not known what became of it.

        A topic is deleted from its beginning, so that where any record of the dispatch is left, all later ones are.
        """
        found = self.dispatches.get(candidate.event.dispatch_id)
        return found if found is None or candidate.stood is None else fold(candidate.stood, found)

    def awaits_replay(self, dispatch: Dispatch) -> bool:
        """Return whether a replay was published that no replica has seen through."""
        return any(not dispatch.has_seen(*place) for place in self.replays.get(dispatch.dispatch_id, ()))


def where_to_look(candidates: Iterable[Candidate], topics: Topics, partitions: int) -> dict[Place, datetime]:
    """Say from when on to read what: dispatches since their event, events (for replays) since the dead letter."""
    starts: dict[Place, datetime] = {}
    for one in candidates:
        number = partition_for(one.event.mentor_id, partitions)
        begun = _begun(one)
        for topic, since in (
            (topics.dispatches, begun),
            (topics.named(one.event.kind.topic), one.found.record.appended_at),
        ):
            place = Place(topic, number)
            starts[place] = min(starts.get(place, since - _CLOCKS), since - _CLOCKS)
    return starts


def _begun(candidate: Candidate) -> datetime:
    """Return when its dispatch may have begun: within all that is kept, if nothing is proven of that."""
    if candidate.appended_at is None:
        return candidate.found.record.appended_at - _DISPATCHES_KEPT
    if candidate.stood is None:
        return candidate.appended_at
    return min(candidate.appended_at, candidate.stood.origin.appended_at)


@dataclass(frozen=True)
class Policy:
    """By what a person wants dead letters to be replayed."""

    now: datetime
    max_rounds: int
    include_answered: bool = False
    limit: int | None = None


@dataclass(frozen=True)
class Replay:
    """A dead letter to be replayed, and its dispatch as it now stands."""

    candidate: Candidate
    dispatch: Dispatch | None
    """None for an event that was never processed: no key proved it then, and one does now."""

    @property
    def may_be_twice(self) -> bool:
        """Return whether somebody may have had the mail already: an answer of SES was lost."""
        recipients = () if self.dispatch is None else self.dispatch.recipients
        return any(recipient.status is Status.UNKNOWN for recipient in recipients)

    @property
    def origin(self) -> Origin:
        """Return where the event lies."""
        return self.candidate.found.letter.origin if self.dispatch is None else self.dispatch.origin

    @property
    def appended_at(self) -> datetime:
        """Return the append time from which expiry counts."""
        return self.candidate.appended_at or self.origin.appended_at


@dataclass
class Plan:
    """What is to become of each dead letter asked for."""

    replays: list[Replay] = field(default_factory=list)
    skipped: list[tuple[Found, Skip]] = field(default_factory=list)


def judge(candidate: Candidate, standings: Standings, policy: Policy) -> Replay | Skip:
    """Return whether a dead letter is to be replayed, by where its dispatch stands now."""
    dispatch = standings.of(candidate)
    replay = Replay(candidate, dispatch)
    if dispatch is None:
        never_processed = candidate.found.letter.reason is DeadLetterReason.UNPROVEN_SOURCE
        return (_too_late(replay, policy) or replay) if never_processed else Skip.FORGOTTEN
    return _moved_on(candidate, dispatch, standings) or _held_back(replay, dispatch, policy) or replay


def _moved_on(candidate: Candidate, dispatch: Dispatch, standings: Standings) -> Skip | None:
    if dispatch.digest != candidate.event.digest:
        return Skip.CONFLICTING_DUPLICATE
    if not dispatch.final:
        return Skip.UNDER_WAY
    if reopen(dispatch, replay=True) is None:
        all_sent = all(recipient.status is Status.SENT for recipient in dispatch.recipients)
        return Skip.SENT if all_sent else Skip.NOTHING_TO_MEND
    return Skip.QUEUED if standings.awaits_replay(dispatch) else None


def _too_late(replay: Replay, policy: Policy) -> Skip | None:
    true_until = replay.candidate.event.true_until(replay.appended_at)
    return Skip.TOO_LATE if true_until is not None and policy.now > true_until else None


def _held_back(replay: Replay, dispatch: Dispatch, policy: Policy) -> Skip | None:
    if late := _too_late(replay, policy):
        return late
    if dispatch.request is not None and not policy.include_answered:
        return Skip.ANSWERED
    to_mend = [r for r in dispatch.recipients if r.status in {Status.FAILED, Status.UNKNOWN}]
    return Skip.MAX_ROUNDS if any(r.round >= policy.max_rounds for r in to_mend) else None


def plan(candidates: Sequence[Candidate], standings: Standings, policy: Policy) -> Plan:
    """Decide on all, a dispatch once; what is replayed stands in the order of the original log."""
    made = Plan()
    last = {one.event.dispatch_id: one for one in sorted(candidates, key=lambda one: one.found.record.offset)}
    for one in candidates:
        judged = judge(one, standings, policy) if last[one.event.dispatch_id] is one else Skip.SAME_DISPATCH
        if isinstance(judged, Replay):
            made.replays.append(judged)
        else:
            made.skipped.append((one.found, judged))
    made.replays.sort(key=_in_the_log)
    if policy.limit is not None:
        made.skipped += [(one.candidate.found, Skip.LIMIT) for one in made.replays[policy.limit :]]
        del made.replays[policy.limit :]
    return made


def _in_the_log(replay: Replay) -> tuple[str, int, int]:
    origin = replay.origin
    return origin.topic, origin.partition, origin.offset


def replay_headers(replay: Replay) -> Headers:
    """Return the headers of a replay: the original's, its first append time, and the dispatch as it now stands."""
    stands = [] if replay.dispatch is None else [(names.REPLAY, dispatch_json(replay.dispatch))]
    return [
        *((name, value) for name, value in replay.candidate.headers if name not in _NOT_KEPT),
        (names.APPENDED_AT, format_instant(replay.appended_at).encode()),
        *stands,
    ]
