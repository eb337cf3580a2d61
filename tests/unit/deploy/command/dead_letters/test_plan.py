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
from consumers.delivery.event_headers import read_delivery
from deploy.command.dead_letters.candidates import Candidate, Skip, judge_letter
from deploy.command.dead_letters.current_dispatches import CurrentDispatches, start_times
from deploy.command.dead_letters.plan import Plan, Policy, Replay, make_plan, replay_headers
from deploy.command.dead_letters.replay import publish_in_order
from deploy.command.dead_letters.report import Outcome, summary
from deploy.command.dead_letters.selection import Selection, StoredLetter
from runtime.kafka.publisher import NotPublished
from runtime.kafka.records import Place, Record
from runtime.kafka.topics import Topics, partition_for
from schemas import headers as names
from schemas.cloudevents import NotAnEventReason, encode_binary
from schemas.dead_letters import MAX_VALUE_BYTES, DeadLetter, DeadLetterReason, from_record, to_record
from schemas.dispatch import Dispatch, Origin, Recipient, Request, Status, dispatch_json, fold
from schemas.events import EVENTS_BY_NAME, PAUSES_TOPIC, Event
from schemas.headers import Headers, header
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
    """Make an event about mentor-042 like the contract's example."""
    kind = EVENTS_BY_NAME[name]
    return Event(kind, event_id, "/tests", kind.model.model_validate({**kind.example, **data}))


def origin_of(event: Event, offset: int = 7) -> Origin:
    """Return where an event lies."""
    partition = partition_for(event.mentor_id, PARTITIONS)
    return Origin(topic=event.kind.topic, partition=partition, offset=offset, appended_at=NOW)


def standing(event: Event, *told: Recipient, offset: int = 7, **changes: Any) -> Dispatch:
    """Return an event's dispatch, its first copy seen through."""
    origin = origin_of(event, offset)
    identity = {"dispatch_id": event.dispatch_id, "digest": event.digest, "event_type": event.kind.type}
    return dispatch_of(*told, **{**identity, "origin": origin, **changes}).seen(origin.topic, offset)


def lying(letter: DeadLetter, offset: int = 0, set_aside_at: datetime = NOW, *, signed: bool = True) -> StoredLetter:
    """Return a dead letter as it is read from its topic."""
    key, value, headers = to_record(letter)
    headers = KEYS.signed(TOPICS.dead_letters, key, value, headers) if signed else headers
    record = Record(TOPICS.dead_letters, letter.origin.partition, offset, key, value, headers, set_aside_at, 0)
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
    """Make the dead letter of an event that failed; unless *forged*, headers of ours are proven."""
    record = encode_binary(event)
    headers: Headers = [*record.headers, *more_headers]
    if not forged:
        headers = KEYS.signed(record.topic, record.key, record.value, headers)
    letter = DeadLetter(reason, dispatch.origin, record.key, record.value, headers, "", dispatch)
    return lying(letter, at, signed=signed)


def candidate(found: StoredLetter) -> Candidate:
    """Return the candidate that a dead letter is."""
    judged = judge_letter(found, KEYS)
    assert isinstance(judged, Candidate)
    return judged


def dispatches(*known: Dispatch) -> CurrentDispatches:
    """Return what the topics say where these are all dispatch records."""
    current = CurrentDispatches(TOPICS, frozenset(one.dispatch_id for one in known), KEYS)
    for offset, one in enumerate(known):
        place = Place(TOPICS.dispatches, one.origin.partition)
        current.add(Record(*place, offset, one.dispatch_id.encode(), dispatch_json(one), [], NOW, 0))
    return current


def rule_of(found: StoredLetter, *known: Dispatch, policy: Policy = POLICY) -> Skip | None:
    """Return the rule by which a dead letter is skipped, or None if it is replayed."""
    made = make_plan([candidate(found)], dispatches(*known), policy)
    return made.skipped[0][1] if made.skipped else None


class TestOneLetter:
    """What a dead letter itself forbids."""

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
    def test_what_is_no_event_cannot_be_replayed(
        self, reason: DeadLetterReason | NotAnEventReason, value: bytes | None, rule: Skip
    ) -> None:
        """Each says by which rule."""
        event = an_event()
        letter = DeadLetter(reason, origin_of(event), b"mentor-042", value, [], "", standing(event, FAILED))

        assert rule is judge_letter(lying(letter), KEYS)

    def test_one_that_stands_for_a_range_is_not_replayed(self) -> None:
        """It keeps the first of its records alone, even when a later release takes that for an event."""
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

        assert Skip.RANGE is judge_letter(lying(letter), KEYS)

    @pytest.mark.parametrize(("offset", "taken"), [(6, False), (7, True), (1006, True), (1007, False)])
    def test_one_that_stands_for_a_range_is_found_by_any_of_its_places(self, offset: int, *, taken: bool) -> None:
        """Whoever looks for a record asks for its place."""
        origin = origin_of(an_event())
        letter = DeadLetter(
            NotAnEventReason.INVALID_DATA, origin, b"m", b"{}", [], last_offset=origin.offset + 999, records=1000
        )
        asked = Selection(ids=frozenset({f"{origin.topic}-{origin.partition}-{offset}"}))

        assert taken is asked.matches(lying(letter))

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
    def test_it_is_selected_by_all_that_is_stated(self, asked: Selection, *, taken: bool) -> None:
        """By reason, dispatch or place, source, mentor and time."""
        assert taken is asked.matches(letter_of(an_event(), standing(an_event(), FAILED)))


class TestWhereItStands:
    """What the dispatch as it now stands forbids."""

    @pytest.mark.parametrize(
        ("told", "rule"),
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
    def test_only_what_failed_is_replayed(self, told: tuple[Recipient, ...], rule: Skip | None) -> None:
        """And not more often than is allowed, counted by the recipient who was tried most."""
        event = an_event()

        assert rule is rule_of(letter_of(event, standing(event, FAILED)), standing(event, *told))

    def test_an_unknown_mentor_is_replayed(self) -> None:
        """Nobody was ever sent to."""
        known = standing(an_event(), unknown_mentor=True)

        assert rule_of(letter_of(an_event(), known), known) is None

    def test_what_was_forgotten_is_not_replayed(self) -> None:
        """Dead letters are kept for longer than dispatches: it may have been replayed and sent meanwhile."""
        assert Skip.FORGOTTEN is rule_of(letter_of(an_event(), standing(an_event(), FAILED)))

    def test_other_content_is_not_replayed(self) -> None:
        """The dispatch is another content's."""
        known = standing(an_event(), FAILED, digest="e" * 64)

        assert Skip.CONFLICTING_DUPLICATE is rule_of(letter_of(an_event(), known), known)

    def test_a_told_caller_is_left_alone(self) -> None:
        """A REST caller may have acted on the failure; who wants it all the same says so."""
        known = standing(an_event(), FAILED, request=Request(id="r-1", caller="anonymous"))
        found = letter_of(an_event(), known)

        assert Skip.ANSWERED is rule_of(found, known)
        assert rule_of(found, known, policy=replace(POLICY, include_answered=True)) is None

    @pytest.mark.parametrize(("late", "rule"), [(timedelta(), None), (timedelta(microseconds=1), Skip.TOO_LATE)])
    def test_a_reminder_too_late_to_be_true_is_not_replayed(self, late: timedelta, rule: Skip | None) -> None:
        """It counts from the append of the very first copy, which a moved or replayed one carries."""
        event = an_event("cert-expiry-reminder", days_remaining=14)
        known = standing(event, FAILED)
        earlier = format_instant(NOW - timedelta(hours=1)).encode()
        found = letter_of(event, known, (names.APPENDED_AT, earlier))
        true_until = NOW - timedelta(hours=1) + timedelta(days=15)

        assert rule is rule_of(found, known, policy=replace(POLICY, now=true_until + late))


class TestPlan:
    """All letters together."""

    def test_a_dispatch_is_replayed_once(self) -> None:
        """By its latest letter."""
        event = an_event()
        known = standing(event, FAILED)
        first, last = letter_of(event, known, at=3), letter_of(event, known, at=5)

        made = make_plan([candidate(last), candidate(first)], dispatches(known), POLICY)

        assert ([last], [(first, Skip.SAME_DISPATCH)]) == ([one.candidate.stored for one in made.replays], made.skipped)

    def test_it_stands_in_the_order_of_the_log(self) -> None:
        """In whatever order the letters were set aside; a limit takes the first of them."""
        events = [an_event(event_id=str(number)) for number in range(4)]
        known = [standing(event, FAILED, offset=offset) for event, offset in zip(events, (20, 3, 11, 100), strict=True)]
        found = [
            candidate(letter_of(event, one, at=n)) for n, (event, one) in enumerate(zip(events, known, strict=True))
        ]

        everything = make_plan(found, dispatches(*known), POLICY)
        limited = make_plan(found, dispatches(*known), replace(POLICY, limit=3))

        assert [3, 11, 20, 100] == [one.origin.offset for one in everything.replays]
        assert [3, 11, 20] == [one.origin.offset for one in limited.replays]
        assert [Skip.LIMIT] == [skip for _, skip in limited.skipped]

    def test_it_looks_where_anything_may_have_happened(self) -> None:
        """At dispatches since the earliest event, at events since the earliest letter, an hour earlier for clocks."""
        event, hour = an_event(), timedelta(hours=1)
        early = standing(event, FAILED, origin=structs.replace(origin_of(event), appended_at=NOW - 5 * hour))
        found = [letter_of(event, early, at=1), letter_of(event, standing(event, FAILED), at=2)]

        starts = start_times(map(candidate, found), TOPICS, PARTITIONS)

        number = partition_for("mentor-042", PARTITIONS)
        expected = {Place(TOPICS.dispatches, number): NOW - 6 * hour, Place(PAUSES_TOPIC, number): NOW - hour}
        assert expected == starts

    def test_the_summary_counts_all(self) -> None:
        """What was selected is replayed or skipped, and who may be told twice is counted."""
        event = an_event()
        known = standing(event, UNKNOWN)
        made = make_plan([candidate(letter_of(event, known, at=n)) for n in (1, 2)], dispatches(known), POLICY)

        told = summary(Outcome(made), dry_run=True)

        counts = {"selected": 2, "to_replay": 1, "replayed": 0, "may_be_twice": 1, "skipped": {"same_dispatch": 1}}
        assert counts == {name: told[name] for name in counts}
        assert [None, "same_dispatch"] == [one.get("replayed_to", one.get("skipped")) for one in told["letters"]]


class TestRecord:
    """What a replay is as a record."""

    def test_it_is_the_original_with_its_dispatch(self) -> None:
        """Of a replay that failed again, too: the first append time stays, the dispatch is the one of now."""
        event = an_event()
        now = standing(event, changed(FAILED, round=1), TOLD)
        first = format_instant(NOW - timedelta(days=1)).encode()
        ours = [(names.APPENDED_AT, first), (names.REPLAY, b"{}"), (names.WAITS_MS, b"4000")]
        found = letter_of(event, standing(event, FAILED), ("traceparent", b"00-1-2-01"), *ours)

        headers = replay_headers(Replay(candidate(found), now))

        kept = [*encode_binary(event).headers, ("traceparent", b"00-1-2-01")]
        assert [*kept, (names.APPENDED_AT, first), (names.REPLAY, dispatch_json(now))] == headers

    @pytest.mark.parametrize("said", [b"yesterday", b"2999-01-01T00:00:00Z"])
    def test_an_append_time_that_cannot_be_is_not_believed(self, said: bytes) -> None:
        """It counts from the append of the copy that was set aside, as a replica counts."""
        found = letter_of(an_event(), standing(an_event(), FAILED), (names.APPENDED_AT, said))

        assert candidate(found).appended_at == NOW


class TestProof:
    """What a dead letter that anybody may have written can do."""

    def test_a_letter_that_is_not_signed_says_nothing_of_the_dispatch(self) -> None:
        """Where it stands is read from the dispatches alone: what it claims is not replayed, nor when it began."""
        event = an_event()
        earlier = format_instant(NOW - timedelta(days=9)).encode()
        found = letter_of(
            event, standing(event, changed(FAILED, round=2)), (names.APPENDED_AT, earlier), signed=False, forged=True
        )
        known = standing(event, FAILED, TOLD)

        (replay,) = make_plan([candidate(found)], dispatches(known), POLICY).replays

        assert (known, NOW) == (replay.dispatch, replay.appended_at)
        assert Skip.FORGOTTEN is rule_of(found)

    def test_it_is_looked_for_in_all_that_is_kept(self) -> None:
        """When its event was appended is not known."""
        found = letter_of(an_event(), standing(an_event(), FAILED), signed=False)

        starts = start_times([candidate(found)], TOPICS, PARTITIONS)

        place = Place(TOPICS.dispatches, partition_for("mentor-042", PARTITIONS))
        assert NOW - timedelta(days=28, hours=1) == starts[place]

    def test_a_replay_signs_nothing_of_a_strangers(self) -> None:
        """Headers of ours that the original did not prove are left out; those it proved are kept."""
        event, known = an_event(), standing(an_event(), FAILED)
        claims = [(names.REQUEST_ID, b"r-1"), (names.CALLER, b"somebody"), (names.KEYLESS, b"1")]
        forged, proven = letter_of(event, known, *claims, forged=True), letter_of(event, known, *claims)

        headers = [dict(replay_headers(Replay(candidate(found), known))) for found in (forged, proven)]

        assert [{}, dict(claims)] == [
            {name: value for name, value in one.items() if name in dict(claims)} for one in headers
        ]
        assert {names.SIGNATURE} & {name for one in headers for name in one} == set()

    def test_a_strangers_replay_stands_in_nobodys_way(self) -> None:
        """An event that says it is a replay, and is not signed, is none that waits."""
        event, known = an_event(), standing(an_event(), FAILED)
        current = dispatches(known)
        record = encode_binary(event)
        place = Place(record.topic, origin_of(event).partition)
        headers = [*record.headers, (names.REPLAY, b"")]
        current.add(Record(*place, 99, record.key, record.value, headers, NOW, 0))

        assert [] == make_plan([candidate(letter_of(event, known))], current, POLICY).skipped

    def test_what_only_claims_to_be_the_facades_is_not_replayed(self) -> None:
        """It would be signed, and so become the facade's."""
        found = letter_of(an_event(), standing(an_event()), reason=DeadLetterReason.UNPROVEN_SOURCE, forged=True)

        assert Skip.UNPROVEN_SOURCE is judge_letter(found, KEYS)

    def test_what_a_key_proves_by_now_is_sent_after_all(self) -> None:
        """A key was taken away too early: once it is back, the facade's event is published as it was."""
        event, known = an_event(), standing(an_event())
        claims = [(names.REQUEST_ID, b"r-1"), (names.CALLER, b"somebody")]
        found = letter_of(event, known, *claims, reason=DeadLetterReason.UNPROVEN_SOURCE)
        found = replace(found, letter=replace(found.letter, dispatch=None))

        (replay,) = make_plan([candidate(found)], dispatches(), POLICY).replays

        appended = (names.APPENDED_AT, format_instant(NOW).encode())
        assert [*encode_binary(event).headers, *claims, appended] == replay_headers(replay)


class Owner:
    """The event and dispatch topics of one mentor, and an owner who takes events as a replica does, in memory."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.log = FakeLog()
        self.tries: list[tuple[str, str, bytes | None]] = []
        """Event, recipient, and the state that the replay was made from."""
        self.mails: list[tuple[str, str]] = []
        self.taken = len(events)
        self.records = [self._record(event, n) for n, event in enumerate(events)]
        self.known = {one.dispatch_id: standing(one, FAILED, TOLD, offset=n) for n, one in enumerate(events)}
        self.letters = [letter_of(one, self.known[one.dispatch_id], at=n) for n, one in enumerate(events)]

    @staticmethod
    def _record(event: Event, offset: int) -> Record:
        record = encode_binary(event)
        place = Place(event.kind.topic, partition_for(event.mentor_id, PARTITIONS))
        return Record(*place, offset, record.key, record.value, record.headers, NOW, 0)

    def plan(self) -> Plan:
        """Plan as the command does, from what the topics say now."""
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
        """See the next records through, each of those tried ending in *outcome*."""
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
def test_stopped_anywhere_and_run_again_nobody_is_mailed_twice(data: st.DataObject) -> None:
    """Plans published in part, or twice, and taken in part: no mail comes twice, no state is tried from twice."""
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


async def test_publishing_ends_at_the_first_that_is_not_durable() -> None:
    """No later event of the mentor overtakes; what was acknowledged by then is known."""
    events = [an_event(event_id=str(number)) for number in range(3)]
    known = [standing(event, FAILED, offset=n) for n, event in enumerate(events)]
    found = [candidate(letter_of(event, one, at=n)) for n, (event, one) in enumerate(zip(events, known, strict=True))]
    outcome = Outcome(make_plan(found, dispatches(*known), POLICY))
    publisher = FakePublisher(FakeLog())
    publisher.replica = lambda _: publisher.will_fail(Failure(NotPublished("no leader")))

    with pytest.raises(NotPublished):
        await publish_in_order(publisher, TOPICS, PARTITIONS, outcome, KEYS)

    assert [found[0].stored.at] == list(outcome.published)
    assert [b"mentor-042"] == [record.key for record in publisher.records]
