"""Which dead letters are replayed, in which order, and which are skipped by which rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from consumers.delivery.decisions import AlreadyProcessed, Process, RepublishOutcome, decide, reopen
from consumers.delivery.escalation import escalation_of
from consumers.delivery.event_headers import read_delivery
from deploy.command.dead_letters.candidates import Candidate, Skip, judge_letter
from deploy.command.dead_letters.current_dispatches import CurrentDispatches, start_times
from deploy.command.dead_letters.plan import Plan, Policy, Replay, make_plan, replay_headers
from deploy.command.dead_letters.replay import publish_in_order
from deploy.command.dead_letters.report import Outcome, summary
from deploy.command.dead_letters.selection import Selection, StoredLetter
from runtime.kafka.publisher import NotPublished
from runtime.kafka.records import Place, Record
from runtime.kafka.topics import Topics
from schemas import headers as names
from schemas.cloudevents import NotAnEventReason, encode_binary
from schemas.dead_letters import MAX_VALUE_BYTES, DeadLetter, DeadLetterReason, from_record, to_record
from schemas.dispatch import Dispatch, Origin, Recipient, Request, Status, dispatch_json, fold
from schemas.events import EVENTS_BY_NAME, PAUSES_TOPIC, Cause, Event
from schemas.headers import Headers, header
from schemas.placement import partition_for
from schemas.times import format_instant
from tests.fakes.kafka_log import FakeLog
from tests.fakes.publisher import Failure, FakePublisher
from tests.signing import KEYS
from tests.unit.dispatches import COORDINATOR, FINAL, MENTOR, NOW, changed, dispatch_of

TOPICS = Topics("")
PARTITIONS = 12
POLICY = Policy(NOW, max_rounds=3)
FAILED = changed(MENTOR, status="failed", reason="message_rejected", send=1)
UNKNOWN = changed(MENTOR, status="unknown", reason="answer_lost", send=2)
SENT = changed(MENTOR, status="sent", message_id="msg-1", send=2)
TOLD = changed(COORDINATOR, status="sent", message_id="msg-2", send=1)


def an_event(name: str = "pause-activated", event_id: str = "1", **data: object) -> Event:
    """Return an event about mentor-042 like the contract's example."""
    kind = EVENTS_BY_NAME[name]
    return Event(kind, event_id, "/tests", kind.model.model_validate({**kind.example, **data}))


def origin_of(event: Event, offset: int = 7) -> Origin:
    """Return the origin of an event."""
    partition = partition_for(event.mentor_id, PARTITIONS)
    return Origin(topic=event.kind.topic, partition=partition, offset=offset, appended_at=NOW)


def dispatch_with(event: Event, *recipients: Recipient, offset: int = 7, **changes: Any) -> Dispatch:
    """Return an event's dispatch after its first delivery was processed."""
    origin = origin_of(event, offset)
    identity = {"dispatch_id": event.dispatch_id, "digest": event.digest, "event_type": event.kind.type}
    return dispatch_of(*recipients, **{**identity, "origin": origin, **changes}).seen(origin.topic, offset)


def as_stored(
    letter: DeadLetter, offset: int = 0, dead_lettered_at: datetime = NOW, *, signed: bool = True
) -> StoredLetter:
    """Return a dead letter as it is read from its topic."""
    key, value, headers = to_record(letter)
    headers = KEYS.signed(TOPICS.dead_letters, key, value, headers) if signed else headers
    record = Record(TOPICS.dead_letters, letter.origin.partition, offset, key, value, headers, dead_lettered_at, 0)
    read = from_record(key, value, headers)
    assert read is not None
    return StoredLetter(record, read)


def letter_of(
    event: Event,
    dispatch: Dispatch,
    *more_headers: tuple[str, bytes],
    at: int = 0,
    reason: DeadLetterReason = DeadLetterReason.FAILED,
    signed: bool = True,
    forged: bool = False,
) -> StoredLetter:
    """Return the dead letter of an event that failed; unless it is *forged*, its `pn_` headers are signed."""
    record = encode_binary(event)
    headers: Headers = [*record.headers, *more_headers]
    if not forged:
        headers = KEYS.signed(record.topic, record.key, record.value, headers)
    letter = DeadLetter(reason, dispatch.origin, record.key, record.value, headers, "", dispatch)
    return as_stored(letter, at, signed=signed)


def candidate(stored: StoredLetter) -> Candidate:
    """Return the candidate that a dead letter is."""
    judged = judge_letter(stored, KEYS)
    assert isinstance(judged, Candidate)
    return judged


def dispatches(*known: Dispatch) -> CurrentDispatches:
    """Return the current dispatches if these are all records of the topic."""
    current = CurrentDispatches(TOPICS, frozenset(one.dispatch_id for one in known), KEYS)
    for offset, one in enumerate(known):
        place = Place(TOPICS.dispatches, one.origin.partition)
        current.add(Record(*place, offset, one.dispatch_id.encode(), dispatch_json(one), [], NOW, 0))
    return current


def rule_of(stored: StoredLetter, *known: Dispatch, policy: Policy = POLICY) -> Skip | None:
    """Return the rule by which a dead letter is skipped, or None if it is replayed."""
    made = make_plan([candidate(stored)], dispatches(*known), policy)
    return made.skipped[0][1] if made.skipped else None


class TestOneLetter:
    """Rules that depend on the dead letter alone."""

    @pytest.mark.parametrize(
        ("reason", "value", "rule"),
        [
            (NotAnEventReason.NOT_JSON, b"{", Skip.NOT_AN_EVENT),
            (NotAnEventReason.TOO_LARGE, b" " * (MAX_VALUE_BYTES + 1), Skip.CUT),
            (DeadLetterReason.UNREADABLE_BATCH, None, Skip.UNREADABLE_BATCH),
            (DeadLetterReason.CONFLICTING_DUPLICATE, b"{}", Skip.CONFLICTING_DUPLICATE),
            (DeadLetterReason.FAILED, b"{}", Skip.NOT_AN_EVENT),
        ],
        ids=lambda given: getattr(given, "value", ""),
    )
    def test_an_invalid_event_cannot_be_replayed(
        self, reason: DeadLetterReason | NotAnEventReason, value: bytes | None, rule: Skip
    ) -> None:
        """Each has its own rule."""
        event = an_event()
        letter = DeadLetter(reason, origin_of(event), b"mentor-042", value, [], "", dispatch_with(event, FAILED))

        assert rule is judge_letter(as_stored(letter), KEYS)

    def test_a_letter_for_a_range_is_not_replayed(self) -> None:
        """It holds only the first record, even if a later release accepts that as an event."""
        event = an_event()
        record = encode_binary(event)
        letter = DeadLetter(
            NotAnEventReason.INVALID_DATA,
            origin_of(event),
            record.key,
            record.value,
            record.headers,
            last_offset=origin_of(event).offset + 999,
            records=1000,
        )

        assert Skip.RANGE is judge_letter(as_stored(letter), KEYS)

    @pytest.mark.parametrize(("offset", "taken"), [(6, False), (7, True), (1006, True), (1007, False)])
    def test_a_letter_for_a_range_is_found_by_each_of_its_positions(self, offset: int, *, taken: bool) -> None:
        """An operator looks for a record by its position."""
        origin = origin_of(an_event())
        letter = DeadLetter(
            NotAnEventReason.INVALID_DATA, origin, b"m", b"{}", [], last_offset=origin.offset + 999, records=1000
        )
        asked = Selection(ids=frozenset({f"{origin.topic}-{origin.partition}-{offset}"}))

        assert taken is asked.matches(as_stored(letter))

    @pytest.mark.parametrize(
        ("asked", "taken"),
        [
            (Selection(), True),
            (Selection(reasons=frozenset({"failed"})), True),
            (Selection(reasons=frozenset({"unknown"})), False),
            (Selection(ids=frozenset({an_event().dispatch_id})), True),
            (Selection(ids=frozenset({f"{TOPICS.dead_letters}-{origin_of(an_event()).partition}-0"})), True),
            (Selection(ids=frozenset({f"{PAUSES_TOPIC}-{origin_of(an_event()).partition}-7"})), True),
            (Selection(ids=frozenset({"0" * 32})), False),
            (Selection(source="/tests"), True),
            (Selection(source="/other"), False),
            (Selection(mentor="mentor-042", since=NOW), True),
            (Selection(since=NOW + timedelta(seconds=1)), False),
            (Selection(until=NOW), False),
        ],
    )
    def test_it_is_selected_by_every_condition(self, asked: Selection, *, taken: bool) -> None:
        """By reason, dispatch or position, source, mentor and time."""
        assert taken is asked.matches(letter_of(an_event(), dispatch_with(an_event(), FAILED)))


class TestCurrentDispatch:
    """Rules that depend on the current dispatch."""

    @pytest.mark.parametrize(
        ("recipients", "rule"),
        [
            ((FAILED, TOLD), None),
            ((UNKNOWN, TOLD), None),
            ((SENT, TOLD), Skip.SENT),
            ((changed(MENTOR, status="expired", round=1), TOLD), Skip.NOTHING_TO_MEND),
            ((changed(MENTOR, status="pending", round=1), TOLD), Skip.UNDER_WAY),
            ((changed(FAILED, round=2), TOLD), None),
            ((changed(FAILED, round=3), TOLD), Skip.MAX_ROUNDS),
            ((changed(FAILED, round=1), changed(COORDINATOR, status="unknown", round=3)), Skip.MAX_ROUNDS),
        ],
    )
    def test_only_what_failed_is_replayed(self, recipients: tuple[Recipient, ...], rule: Skip | None) -> None:
        """The number of rounds is limited, counted by the recipient with the most rounds."""
        event = an_event()

        assert rule is rule_of(letter_of(event, dispatch_with(event, FAILED)), dispatch_with(event, *recipients))

    def test_an_unknown_mentor_is_replayed(self) -> None:
        """Nobody got an e-mail yet."""
        known = dispatch_with(an_event(), unknown_mentor=True)

        assert rule_of(letter_of(an_event(), known), known) is None

    def test_a_forgotten_dispatch_is_not_replayed(self) -> None:
        """Dead letters are kept for longer than dispatches, so the event may have been replayed and sent."""
        assert Skip.FORGOTTEN is rule_of(letter_of(an_event(), dispatch_with(an_event(), FAILED)))

    def test_other_content_is_not_replayed(self) -> None:
        """The dispatch belongs to other content with the same id."""
        known = dispatch_with(an_event(), FAILED, digest="e" * 64)

        assert Skip.CONFLICTING_DUPLICATE is rule_of(letter_of(an_event(), known), known)

    def test_an_answered_call_is_skipped(self) -> None:
        """A REST caller may have acted on the failure; --include-answered replays it anyway."""
        known = dispatch_with(an_event(), FAILED, request=Request(id="r-1", caller="anonymous"))
        stored = letter_of(an_event(), known)

        assert Skip.ANSWERED is rule_of(stored, known)
        assert rule_of(stored, known, policy=replace(POLICY, include_answered=True)) is None

    @pytest.mark.parametrize(("late", "rule"), [(timedelta(), None), (timedelta(microseconds=1), Skip.TOO_LATE)])
    def test_an_expired_reminder_is_not_replayed(self, late: timedelta, rule: Skip | None) -> None:
        """Its age counts from the first append, which a moved or replayed record has in a header."""
        event = an_event("cert-expiry-reminder", days_remaining=14)
        known = dispatch_with(event, FAILED)
        earlier = format_instant(NOW - timedelta(hours=1)).encode()
        stored = letter_of(event, known, (names.APPENDED_AT, earlier))
        true_until = NOW - timedelta(hours=1) + timedelta(days=15)

        assert rule is rule_of(stored, known, policy=replace(POLICY, now=true_until + late))


class TestEscalations:
    """Letters that would tell a coordinator of an unreached mentor."""

    def _letter(self, about: Dispatch, cause: Cause = Cause.REFUSED) -> tuple[StoredLetter, Dispatch]:
        """Return the letter of an escalation that failed, and its dispatch."""
        event = escalation_of(about, cause, NOW)
        failed = changed(COORDINATOR, status="failed", reason="message_rejected", send=1)
        dispatch = dispatch_with(event, failed, offset=9)
        return letter_of(event, dispatch, at=9), dispatch

    def test_are_not_replayed_with_the_notice_that_they_are_about(self) -> None:
        """The mentor is told by it, and the coordinator would read that they could not be."""
        event = an_event()
        known = dispatch_with(event, FAILED)
        escalation, of_it = self._letter(known)

        made = make_plan([candidate(escalation), candidate(letter_of(event, known))], dispatches(known, of_it), POLICY)

        assert [event.dispatch_id] == [one.candidate.event.dispatch_id for one in made.replays]
        assert [(escalation, Skip.MENTOR_TRIED)] == made.skipped

    def test_are_not_replayed_once_the_mentor_is_told(self) -> None:
        """An earlier replay has reached the mentor."""
        known = dispatch_with(an_event(), SENT)
        escalation, of_it = self._letter(known)

        assert Skip.MENTOR_TOLD is rule_of(escalation, known, of_it)

    def test_of_a_bounce_are_replayed(self) -> None:
        """The e-mail that bounced counts as sent: no replay sends it again, and nobody else tells the coordinator."""
        event = an_event()
        known = dispatch_with(event, SENT, changed(COORDINATOR, status="failed", reason="message_rejected", send=1))
        escalation, of_it = self._letter(known, Cause.BOUNCED)

        made = make_plan([candidate(escalation), candidate(letter_of(event, known))], dispatches(known, of_it), POLICY)

        assert [] == made.skipped

    def test_are_replayed_while_the_mentor_is_not_told(self) -> None:
        """Somebody must tell them."""
        known = dispatch_with(an_event(), FAILED)
        escalation, of_it = self._letter(known)

        assert rule_of(escalation, known, of_it) is None


class TestPlan:
    """Rules for all letters together."""

    def test_a_dispatch_is_replayed_once(self) -> None:
        """Its latest letter is used."""
        event = an_event()
        known = dispatch_with(event, FAILED)
        first, last = letter_of(event, known, at=3), letter_of(event, known, at=5)

        made = make_plan([candidate(last), candidate(first)], dispatches(known), POLICY)

        assert ([last], [(first, Skip.SAME_DISPATCH)]) == ([one.candidate.stored for one in made.replays], made.skipped)

    def test_replays_have_the_order_of_the_log(self) -> None:
        """The order of the letters does not matter; a limit takes the first replays."""
        events = [an_event(event_id=str(number)) for number in range(4)]
        known = [
            dispatch_with(event, FAILED, offset=offset) for event, offset in zip(events, (20, 3, 11, 100), strict=True)
        ]
        candidates = [
            candidate(letter_of(event, one, at=n)) for n, (event, one) in enumerate(zip(events, known, strict=True))
        ]

        everything = make_plan(candidates, dispatches(*known), POLICY)
        limited = make_plan(candidates, dispatches(*known), replace(POLICY, limit=3))

        assert [3, 11, 20, 100] == [one.origin.offset for one in everything.replays]
        assert [3, 11, 20] == [one.origin.offset for one in limited.replays]
        assert [Skip.LIMIT] == [skip for _, skip in limited.skipped]

    def test_it_reads_everything_that_may_matter(self) -> None:
        """Dispatches since the earliest event and events since the earliest letter, less an hour for clock skew."""
        event, hour = an_event(), timedelta(hours=1)
        early = dispatch_with(event, FAILED, origin=structs.replace(origin_of(event), appended_at=NOW - 5 * hour))
        letters = [letter_of(event, early, at=1), letter_of(event, dispatch_with(event, FAILED), at=2)]

        starts = start_times(map(candidate, letters), TOPICS, PARTITIONS)

        number = partition_for("mentor-042", PARTITIONS)
        expected = {Place(TOPICS.dispatches, number): NOW - 6 * hour, Place(PAUSES_TOPIC, number): NOW - hour}
        assert expected == starts

    def test_the_summary_counts_all(self) -> None:
        """Each selected letter is replayed or skipped, and possible second e-mails are counted."""
        event = an_event()
        known = dispatch_with(event, UNKNOWN)
        made = make_plan([candidate(letter_of(event, known, at=n)) for n in (1, 2)], dispatches(known), POLICY)

        result = summary(Outcome(made), dry_run=True)

        counts = {"selected": 2, "to_replay": 1, "replayed": 0, "may_be_twice": 1, "skipped": {"same_dispatch": 1}}
        assert counts == {name: result[name] for name in counts}
        assert [None, "same_dispatch"] == [one.get("replayed_to", one.get("skipped")) for one in result["letters"]]


class TestRecord:
    """The record of a replay."""

    def test_it_is_the_original_with_its_dispatch(self) -> None:
        """Also for a replay that failed again: it keeps the first append time, and has the current dispatch."""
        event = an_event()
        now = dispatch_with(event, changed(FAILED, round=1), TOLD)
        first = format_instant(NOW - timedelta(days=1)).encode()
        ours = [(names.APPENDED_AT, first), (names.REPLAY, b"{}"), (names.WAITS_MS, b"4000")]
        stored = letter_of(event, dispatch_with(event, FAILED), ("traceparent", b"00-1-2-01"), *ours)

        headers = replay_headers(Replay(candidate(stored), now))

        kept = [*encode_binary(event).headers, ("traceparent", b"00-1-2-01")]
        assert [*kept, (names.APPENDED_AT, first), (names.REPLAY, dispatch_json(now))] == headers

    @pytest.mark.parametrize("text", [b"yesterday", b"2999-01-01T00:00:00Z"])
    def test_an_impossible_append_time_is_ignored(self, text: bytes) -> None:
        """The append time of the dead-lettered record is used, as a replica does."""
        stored = letter_of(an_event(), dispatch_with(an_event(), FAILED), (names.APPENDED_AT, text))

        assert candidate(stored).appended_at == NOW


class TestProof:
    """Dead letters that anybody may have written."""

    def test_the_dispatch_of_an_unsigned_letter_is_ignored(self) -> None:
        """Its state is read from the dispatches topic only; neither its claims nor its start time are used."""
        event = an_event()
        earlier = format_instant(NOW - timedelta(days=9)).encode()
        stored = letter_of(
            event,
            dispatch_with(event, changed(FAILED, round=2)),
            (names.APPENDED_AT, earlier),
            signed=False,
            forged=True,
        )
        known = dispatch_with(event, FAILED, TOLD)

        (replay,) = make_plan([candidate(stored)], dispatches(known), POLICY).replays

        assert (known, NOW) == (replay.dispatch, replay.appended_at)
        assert Skip.FORGOTTEN is rule_of(stored)

    def test_all_kept_dispatches_are_read_for_an_unsigned_letter(self) -> None:
        """The append time of its event is not known."""
        stored = letter_of(an_event(), dispatch_with(an_event(), FAILED), signed=False)

        starts = start_times([candidate(stored)], TOPICS, PARTITIONS)

        place = Place(TOPICS.dispatches, partition_for("mentor-042", PARTITIONS))
        assert NOW - timedelta(days=28, hours=1) == starts[place]

    def test_a_replay_signs_no_forged_headers(self) -> None:
        """Unproven `pn_` headers of the original are left out, and proven ones are kept."""
        event, known = an_event(), dispatch_with(an_event(), FAILED)
        claims = [(names.REQUEST_ID, b"r-1"), (names.CALLER, b"somebody"), (names.KEYLESS, b"1")]
        forged, proven = letter_of(event, known, *claims, forged=True), letter_of(event, known, *claims)

        headers = [dict(replay_headers(Replay(candidate(stored), known))) for stored in (forged, proven)]

        assert [{}, dict(claims)] == [
            {name: value for name, value in one.items() if name in dict(claims)} for one in headers
        ]
        assert {names.SIGNATURE} & {name for one in headers for name in one} == set()

    def test_a_forged_replay_blocks_no_replay(self) -> None:
        """An unsigned event with a replay header does not count as a waiting replay."""
        event, known = an_event(), dispatch_with(an_event(), FAILED)
        current = dispatches(known)
        record = encode_binary(event)
        place = Place(record.topic, origin_of(event).partition)
        headers = [*record.headers, (names.REPLAY, b"")]
        current.add(Record(*place, 99, record.key, record.value, headers, NOW, 0))

        assert [] == make_plan([candidate(letter_of(event, known))], current, POLICY).skipped

    def test_a_forged_facade_source_is_not_replayed(self) -> None:
        """A replay is signed, which would make the event a genuine one of the facade."""
        stored = letter_of(an_event(), dispatch_with(an_event()), reason=DeadLetterReason.UNPROVEN_SOURCE, forged=True)

        assert Skip.UNPROVEN_SOURCE is judge_letter(stored, KEYS)

    def test_an_event_proven_later_is_replayed(self) -> None:
        """If a key was removed too early and is back, the facade's event is published unchanged."""
        event, known = an_event(), dispatch_with(an_event())
        claims = [(names.REQUEST_ID, b"r-1"), (names.CALLER, b"somebody")]
        stored = letter_of(event, known, *claims, reason=DeadLetterReason.UNPROVEN_SOURCE)
        stored = replace(stored, letter=replace(stored.letter, dispatch=None))

        (replay,) = make_plan([candidate(stored)], dispatches(), POLICY).replays

        appended = (names.APPENDED_AT, format_instant(NOW).encode())
        assert [*encode_binary(event).headers, *claims, appended] == replay_headers(replay)


class Owner:
    """The event and dispatch topics of one mentor in memory, and an owner that processes events as a replica does."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.log = FakeLog()
        self.tries: list[tuple[str, str, bytes | None]] = []
        """Event, recipient, and the dispatch in the replay."""
        self.mails: list[tuple[str, str]] = []
        self.taken = len(events)
        self.records = [self._record(event, n) for n, event in enumerate(events)]
        self.known = {one.dispatch_id: dispatch_with(one, FAILED, TOLD, offset=n) for n, one in enumerate(events)}
        self.letters = [letter_of(one, self.known[one.dispatch_id], at=n) for n, one in enumerate(events)]

    @staticmethod
    def _record(event: Event, offset: int) -> Record:
        record = encode_binary(event)
        place = Place(event.kind.topic, partition_for(event.mentor_id, PARTITIONS))
        return Record(*place, offset, record.key, record.value, record.headers, NOW, 0)

    def plan(self) -> Plan:
        """Plan as the command does, from the current topics."""
        current = dispatches(*self.known.values())
        for record in self.records:
            current.add(record)
        return make_plan([*map(candidate, self.letters)], current, replace(POLICY, max_rounds=100))

    def publish(self, replays: Sequence[Replay]) -> None:
        """Append replays to the event topic."""
        for one in replays:
            event = one.candidate.event
            record = self._record(event, len(self.records))
            signed = KEYS.signed(record.topic, record.key, record.value, replay_headers(one))
            self.records.append(replace(record, headers=signed))

    def take(self, count: int, outcome: Status) -> None:
        """Process the next records; each tried recipient ends with *outcome*."""
        for record in self.records[self.taken : self.taken + count]:
            event = next(one.event for one in self.letters if one.event is not None and _is(one.event, record))
            decision = decide(read_delivery(record, event), self.known[event.dispatch_id], lambda *_: None, timedelta())
            assert not isinstance(decision, AlreadyProcessed)
            self.taken += 1
            if isinstance(decision, RepublishOutcome):
                self.known[event.dispatch_id] = decision.dispatch
                continue
            assert isinstance(decision, Process)
            tried = [one for one in decision.dispatch.recipients if not one.status.final]
            made_from = header(record.headers, names.REPLAY)
            self.tries += [(event.id, one.contact_id, made_from) for one in tried]
            self.mails += [(event.id, one.contact_id) for one in tried if outcome is Status.SENT]
            ended = decision.dispatch.with_recipients(changed(one, status=outcome) for one in tried)
            ended = ended.seen(record.topic, record.offset)
            self.known[event.dispatch_id] = fold(self.known[event.dispatch_id], ended)


def _is(event: Event, record: Record) -> bool:
    return ("ce_id", event.id.encode()) in record.headers


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_interrupted_replays_send_no_e_mail_twice(data: st.DataObject) -> None:
    """Plans are published and processed in part or twice: no e-mail is sent twice, no state is retried twice."""
    owner = Owner([an_event(event_id=str(number)) for number in range(data.draw(st.integers(1, 3)))])
    made = [owner.plan()]
    for _ in range(data.draw(st.integers(1, 6))):
        match data.draw(st.sampled_from(["plan", "publish", "take"])):
            case "plan":
                made.append(owner.plan())
            case "publish":
                replays = data.draw(st.sampled_from(made)).replays
                owner.publish(replays[: data.draw(st.integers(0, len(replays)))] * data.draw(st.integers(1, 2)))
            case _:
                owner.take(data.draw(st.integers(1, 3)), data.draw(st.sampled_from(FINAL)))
    owner.take(len(owner.records), Status.SENT)
    owner.publish(owner.plan().replays)
    owner.take(len(owner.records), Status.SENT)

    assert sorted({*owner.mails}) == sorted(owner.mails)
    assert len({*owner.tries}) == len(owner.tries)
    assert {"mentor-042"} >= {contact_id for _, contact_id, _ in owner.tries}
    assert [] == [one for one in owner.known.values() if reopen(one, replay=True) is not None]


async def test_publishing_stops_at_the_first_failure() -> None:
    """No later event of the mentor is published first, and the acknowledged ones are known."""
    events = [an_event(event_id=str(number)) for number in range(3)]
    known = [dispatch_with(event, FAILED, offset=n) for n, event in enumerate(events)]
    candidates = [
        candidate(letter_of(event, one, at=n)) for n, (event, one) in enumerate(zip(events, known, strict=True))
    ]
    outcome = Outcome(make_plan(candidates, dispatches(*known), POLICY))
    publisher = FakePublisher(FakeLog())
    publisher.replica = lambda _: publisher.will_fail(Failure(NotPublished("no leader")))

    with pytest.raises(NotPublished):
        await publish_in_order(publisher, TOPICS, PARTITIONS, outcome, KEYS)

    assert [candidates[0].stored.at] == list(outcome.published)
    assert [b"mentor-042"] == [record.key for record in publisher.records]
