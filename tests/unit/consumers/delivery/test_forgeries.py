"""Forge `pn_` headers as anybody can who may write to an event topic. Each of these attacks once worked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from runtime.kafka.records import Place, Record
from schemas import headers as names
from schemas.cloudevents import encode_binary
from schemas.dead_letters import DEAD_LETTERS_TOPIC
from schemas.dispatch import Dispatch, Recipient, Request, Status, dispatch_json
from schemas.events import FACADE_SOURCE, PAUSES_TOPIC, Event, Role
from schemas.headers import Headers
from schemas.signatures import NO_KEYS, Proof
from schemas.times import format_instant
from tests.fakes.email import refuse
from tests.fakes.kafka_log import APPENDED_AT
from tests.signing import KEYS
from tests.unit.consumers.stage import NUMBER, Stage, a_stage, event_of

CALL: dict[str, Any] = {"REQUEST_ID": "r-1", "CALLER": "anonymous", "KEYLESS": "1"}
CALLED: Headers = [(names.REQUEST_ID, b"forged"), (names.CALLER, b"anonymous"), (names.KEYLESS, b"1")]


@pytest.fixture(name="stage")
async def _stage() -> AsyncIterator[Stage]:
    """Yield a partition in use; mentor-042 and their coordinator are known."""
    async with a_stage() as stage:
        yield stage


def stranger_writes(stage: Stage, event: Event, *headers: tuple[str, bytes | None], key: bytes | None = None) -> Record:
    """Append an event with forged headers."""
    record = encode_binary(event)
    place = Place(record.topic, NUMBER)
    return stage.put(place, key=key or record.key, value=record.value, headers=[*record.headers, *headers])


def forged(event: Event, *recipients: Recipient, **changes: Any) -> bytes:
    """Return a dispatch of *event* that no replica wrote, as JSON."""
    origin = {"topic": event.kind.topic, "partition": NUMBER, "offset": 0, "appended_at": APPENDED_AT}
    known = {
        "dispatch_id": event.dispatch_id,
        "event_type": event.kind.type,
        "mentor_id": event.mentor_id,
        "digest": event.digest,
        "origin": {**origin, **changes.pop("origin", {})},
        "recipients": recipients,
    }
    return dispatch_json(msgspec.convert({**known, **changes}, Dispatch))


def recorded_as_sent(contact_id: str, role: Role) -> Recipient:
    """Return a recipient as sent who was never sent anything."""
    return Recipient(contact_id=contact_id, role=role, status=Status.SENT, message_id="FORGED", at=APPENDED_AT)


async def test_a_replay_that_says_sent_stops_no_mail(stage: Stage) -> None:
    """Both recipients are sent to, and no caller reads a forged message id."""
    event = event_of()
    sent = recorded_as_sent("mentor-042", Role.MENTOR), recorded_as_sent("coordinator-007", Role.COORDINATOR)

    await stage.process(stranger_writes(stage, event, (names.REPLAY, forged(event, *sent, ended_at=APPENDED_AT))))

    assert 2 == len(stage.sender.accepted)
    assert "FORGED" not in {recipient.message_id for recipient in stage.last.recipients}


async def test_a_replay_that_names_others_mails_none_of_them(stage: Stage) -> None:
    """Only the mentor and their coordinator get the event's e-mail."""
    event = event_of()
    others = [f"mentor-{number:03}" for number in range(100, 142)]
    for contact_id in others:
        stage.add_mentor(contact_id)
    carried = forged(event, *(Recipient(contact_id=one, role=Role.MENTOR) for one in others))

    await stage.process(stranger_writes(stage, event, (names.REPLAY, carried)))

    assert ["m@example.org", "c@example.org"] == [email.to for email in stage.sender.accepted]


async def test_a_replay_that_names_an_offset_does_not_swallow_the_event(stage: Stage) -> None:
    """A forged offset does not count as processed."""
    event = event_of()
    sent = recorded_as_sent("mentor-042", Role.MENTOR)
    carried = forged(event, sent, seen_through={event.kind.topic: 10**9}, ended_at=APPENDED_AT)

    await stage.process(stranger_writes(stage, event, (names.REPLAY, carried)))

    assert 2 == len(stage.sender.accepted)


async def test_a_last_call_beyond_the_log_answers_no_later_call(stage: Stage) -> None:
    """A forged dispatch with offset 10**9 does not stay the mentor's last call for ever."""
    forgery = event_of(event_id="forgery")
    carried = forged(
        forgery,
        recorded_as_sent("mentor-042", Role.MENTOR),
        origin={"offset": 10**9},
        request=Request(id="forged", caller="anonymous", keyless=True),
        ended_at=APPENDED_AT + timedelta(days=1),
    )
    await stage.process(stranger_writes(stage, forgery, (names.REPLAY, carried)))
    before = len(stage.sender.accepted)

    await stage.process(stage.append(event_of(event_id="true"), **CALL))

    assert 2 == len(stage.sender.accepted) - before
    assert stage.last.retry_of is None


async def test_a_forged_call_is_no_call(stage: Stage) -> None:
    """No REST caller reads of a forged request, so Idempotent-Replayed stays true."""
    await stage.process(stranger_writes(stage, event_of(), *CALLED))

    assert stage.last.request is None


async def test_a_forged_call_answers_no_real_one(stage: Stage) -> None:
    """A call without a key does not count as the retry of a forged call."""
    await stage.process(stranger_writes(stage, event_of(), *CALLED))
    await stage.process(stage.append(event_of(event_id="2"), **CALL))

    assert 4 == len(stage.sender.accepted)
    assert stage.last.retry_of is None


async def test_a_forged_append_time_expires_nothing(stage: Stage) -> None:
    """The age of a reminder counts from the broker's append time."""
    long_ago = format_instant(APPENDED_AT - timedelta(days=400)).encode()

    await stage.process(stranger_writes(stage, event_of("cert-expiry-reminder"), (names.APPENDED_AT, long_ago)))

    assert [Status.SENT] == [recipient.status for recipient in stage.last.recipients]


async def test_a_forged_wait_gives_no_priority(stage: Stage) -> None:
    """The event waits with the backlog, not with the callers."""
    stage.gate.set_share(0, 12)
    await stage.process(stranger_writes(stage, event_of(), (names.WAITS_MS, b"999999")))

    assert 1 == stage.gate.waiting
    assert 0 == len(stage.gate._queue._others._callers)


async def test_only_the_facade_may_use_its_source(stage: Stage) -> None:
    """A forged event is dead-lettered; the real call is sent, not refused with 422."""
    forgery = event_of(source=FACADE_SOURCE, pause_reason="forged")
    await stage.process(stranger_writes(stage, forgery))
    await stage.process(stage.append(event_of(source=FACADE_SOURCE), **CALL))

    assert ["unproven_source"] == [letter.reason for letter in stage.letters]
    assert [Status.SENT, Status.SENT] == [recipient.status for recipient in stage.last.recipients]
    assert event_of(source=FACADE_SOURCE).digest == stage.last.digest


async def test_a_move_does_not_sign_forged_headers(stage: Stage) -> None:
    """A misplaced record is moved without its unproven headers, since the replica signs what it moves."""
    event = event_of()
    sent = recorded_as_sent("mentor-042", Role.MENTOR)
    claims = [*CALLED, (names.REPLAY, forged(event, sent)), (names.APPENDED_AT, b"2001-01-01T00:00:00Z")]

    await stage.process(stranger_writes(stage, event, *claims, key=b"other"))

    (moved,) = stage.publisher.records
    ours = {name: value for name, value in moved.headers if name.startswith("pn_") and name != "pn_signature"}
    assert {
        names.APPENDED_AT: format_instant(APPENDED_AT).encode(),
        names.MOVED_FROM: f"{event.kind.topic}-{NUMBER}-0".encode(),
    } == ours


async def test_a_record_published_again_sends_nothing(stage: Stage) -> None:
    """A copy of a signed record is the same event again."""
    first = stage.append(event_of(), **CALL)
    await stage.process(first)
    await stage.process(stage.put(first.place, key=first.key, value=first.value, headers=first.headers))

    assert 2 == len(stage.sender.accepted)


async def test_a_copied_signature_proves_nothing(stage: Stage) -> None:
    """Headers of a signed record are ignored and counted on another record."""
    proven = stage.append(event_of(), **CALL)
    taken = [pair for pair in proven.headers if pair[0].startswith("pn_")]

    await stage.process(stranger_writes(stage, event_of(event_id="2"), *taken))

    assert {"wrong": 1} == stage.unproven()
    assert stage.last.request is None


async def test_a_changed_id_breaks_the_signature(stage: Stage) -> None:
    """A record of the facade with another id is dead-lettered, and nothing is sent."""
    first = stage.append(event_of(source=FACADE_SOURCE), **CALL)
    headers = [(name, b"2" if name == "ce_id" else value) for name, value in first.headers]

    await stage.process(stage.put(first.place, key=first.key, value=first.value, headers=headers))

    assert ["unproven_source"] == [letter.reason for letter in stage.letters]
    assert ["pn_signature: wrong"] == [letter.detail for letter in stage.letters]
    assert [] == stage.sender.calls


@pytest.mark.parametrize(
    ("signature", "kind"),
    [
        (None, "missing"),
        (b"v9:x", "unreadable"),
        (b"v1:00000000:" + b"0" * 64, "unknown_key"),
        (f"v1:{KEYS.ids[0]}:{'0' * 64}".encode(), "wrong"),
    ],
)
async def test_unproven_records_are_counted_by_kind(stage: Stage, signature: bytes | None, kind: str) -> None:
    """The event itself is sent like that of any producer."""
    signed = [] if signature is None else [(names.SIGNATURE, signature)]

    await stage.process(stranger_writes(stage, event_of(), *CALLED, *signed))

    assert {kind: 1} == stage.unproven()
    assert 2 == len(stage.sender.accepted)


async def test_a_record_without_our_headers_is_not_counted(stage: Stage) -> None:
    """Producers sign nothing."""
    await stage.process(stranger_writes(stage, event_of(), ("tenant", b"42")))

    assert {} == stage.unproven()


async def test_forgeries_are_logged_once_a_minute(stage: Stage) -> None:
    """A flood of forgeries is counted and does not fill the log."""
    with capture_logs() as logs:
        for number in range(5):
            await stage.process(stranger_writes(stage, event_of(event_id=str(number)), *CALLED))
        await stage.clock.advance(60)
        await stage.process(stranger_writes(stage, event_of(event_id="later"), *CALLED))

    assert ["missing"] * 2 == [line["kind"] for line in logs if line["event"] == "record.unproven"]
    assert {"missing": 6} == stage.unproven()


@pytest.mark.parametrize(
    ("text", "logged"),
    [(f"00-{'a' * 32}-{'b' * 16}-01", True), ("mentor@example.org", False), ("0" * 5000, False)],
    ids=["a trace", "an address", "too much"],
)
async def test_only_a_trace_context_is_logged(stage: Stage, text: str, *, logged: bool) -> None:
    """Any other text in `traceparent` is not logged."""
    with capture_logs() as logs:
        await stage.process(stranger_writes(stage, event_of(), (names.TRACE_PARENT, text.encode())))

    assert [text if logged else None] == [line["trace"] for line in logs if line["event"] == "dispatch.ended"]


class TestSignedReplays:
    """What a replay must not say even when it is signed."""

    async def test_a_replay_cannot_say_sent(self, stage: Stage) -> None:
        """A recipient carried as sent is not sent to again, and is not reported as sent."""
        event = event_of()
        carried = forged(event, recorded_as_sent("mentor-042", Role.MENTOR), ended_at=APPENDED_AT)

        await stage.process(stage.append(event, REPLAY=carried.decode()))

        assert [(Status.SUPPRESSED, "sent_earlier", None)] == [
            (one.status, one.reason, one.message_id) for one in stage.last.recipients
        ]
        assert [] == stage.sender.calls

    async def test_the_ledger_counts_more_than_a_replay(self, stage: Stage) -> None:
        """A recipient that failed here stays failed, whatever a replay says."""
        stage.sender.will_meet("c@example.org", refuse())
        event = event_of()
        await stage.process(stage.append(event))
        sent = recorded_as_sent("mentor-042", Role.MENTOR), recorded_as_sent("coordinator-007", Role.COORDINATOR)

        await stage.process(stage.append(event, REPLAY=forged(event, *sent).decode()))

        assert [Status.SENT, Status.FAILED] == [one.status for one in stage.last.recipients]

    async def test_a_replay_adds_no_recipients(self, stage: Stage) -> None:
        """Contacts that the event does not concern get no e-mail, pending or failed."""
        stage.add_mentor("mentor-100")
        event = event_of()
        others = [
            Recipient(contact_id=one, role=Role.MENTOR, status=Status.FAILED) for one in ("mentor-100", "mentor-101")
        ]
        mine = Recipient(contact_id="mentor-042", role=Role.MENTOR, status=Status.FAILED)

        await stage.process(stage.append(event, REPLAY=forged(event, mine, *others, ended_at=APPENDED_AT).decode()))

        assert ["m@example.org"] == [email.to for email in stage.sender.accepted]

    async def test_a_new_coordinator_takes_the_place_of_the_old_one(self, stage: Stage) -> None:
        """A replay reaches the present coordinator when the ledger has forgotten the dispatch."""
        event = event_of()
        recipients = (
            recorded_as_sent("mentor-042", Role.MENTOR),
            Recipient(contact_id="coordinator-001", role=Role.COORDINATOR, status=Status.FAILED),
        )

        await stage.process(stage.append(event, REPLAY=forged(event, *recipients, ended_at=APPENDED_AT).decode()))

        assert ["c@example.org"] == [email.to for email in stage.sender.accepted]

    async def test_a_coordinator_who_had_the_email_is_not_replaced(self, stage: Stage) -> None:
        """The present coordinator gets no second e-mail."""
        event = event_of()
        recipients = (
            Recipient(contact_id="mentor-042", role=Role.MENTOR, status=Status.FAILED),
            recorded_as_sent("coordinator-001", Role.COORDINATOR),
        )

        await stage.process(stage.append(event, REPLAY=forged(event, *recipients, ended_at=APPENDED_AT).decode()))

        assert ["m@example.org"] == [email.to for email in stage.sender.accepted]

    @pytest.mark.parametrize(
        "changes",
        [
            {"seen_through": {PAUSES_TOPIC: 10**9}},
            {"origin": {"offset": 10**9}},
            {"origin": {"topic": "elsewhere"}},
            {"origin": {"appended_at": APPENDED_AT + timedelta(days=1)}},
        ],
        ids=str,
    )
    async def test_a_replay_cannot_change_the_place_of_an_event(self, stage: Stage, changes: dict[str, Any]) -> None:
        """An origin or offset that cannot be true is replaced by that of the record."""
        event = event_of()
        failed = Recipient(contact_id="mentor-042", role=Role.MENTOR, status=Status.FAILED)
        replayed = stage.append(event, REPLAY=forged(event, failed, **changes).decode())

        await stage.process(replayed)

        assert ["m@example.org"] == [email.to for email in stage.sender.accepted]
        assert {PAUSES_TOPIC: replayed.offset} == dict(stage.last.seen_through)
        assert "origin" not in changes or stage.last.origin == replayed.origin

    @pytest.mark.parametrize("changes", [{"digest": "e" * 64}, {"mentor_id": "mentor-100"}, {"event_type": "other"}])
    async def test_the_dispatch_of_another_event_is_ignored(self, stage: Stage, changes: dict[str, Any]) -> None:
        """The carried dispatch is ignored, and the event is processed."""
        event = event_of()
        carried = forged(event, recorded_as_sent("mentor-042", Role.MENTOR), **changes)

        await stage.process(stage.append(event, REPLAY=carried.decode()))

        assert [Status.SENT, Status.SENT] == [one.status for one in stage.last.recipients]


class TestWithoutKeys:
    """No key is set."""

    @pytest.fixture(name="stage")
    async def _stage(self) -> AsyncIterator[Stage]:
        """Yield a partition whose replica has no keys."""
        async with a_stage(keys=NO_KEYS) as stage:
            yield stage

    async def test_no_header_is_believed(self, stage: Stage) -> None:
        """Even a signed header is ignored: the event is sent, and the mentor's next call is no retry."""
        await stage.process(stage.append(event_of(), **CALL))
        await stage.process(stage.append(event_of(event_id="2"), **CALL))

        assert {"no_keys": 2} == stage.unproven()
        assert 4 == len(stage.sender.accepted)
        assert stage.last.request is None

    async def test_the_facades_source_is_accepted(self, stage: Stage) -> None:
        """Without keys nobody can check it, and REST calls must go on."""
        await stage.process(stranger_writes(stage, event_of(source=FACADE_SOURCE)))

        assert 2 == len(stage.sender.accepted)
        assert [] == stage.letters

    async def test_what_is_written_is_not_signed(self, stage: Stage) -> None:
        """A dead letter and a moved record still have their headers."""
        stage.sender.will_meet("c@example.org", refuse())
        await stage.process(stranger_writes(stage, event_of()))
        await stage.process(stranger_writes(stage, event_of(event_id="2"), key=b"other"))

        signed = {names.SIGNATURE, names.ORIGIN_SIGNATURE}
        assert [] == [r for r in stage.publisher.records if signed & {name for name, _ in r.headers}]
        assert 1 == len(stage.letters)


async def test_a_dead_letter_is_signed_and_keeps_the_original_headers(stage: Stage) -> None:
    """So the command can check that a replica wrote the letter, and whether the original was proven."""
    stage.sender.will_meet("c@example.org", refuse())
    record = stage.append(event_of(), **CALL)
    await stage.process(record)

    (letter,) = [one for one in stage.publisher.records if one.topic == DEAD_LETTERS_TOPIC]
    original = stage.letters[0]

    assert KEYS.check(letter.topic, letter.key, letter.value, letter.headers) is Proof.PROVEN
    assert record.headers == original.headers
    assert record.value == original.value
    assert KEYS.check(record.topic, original.key, original.value, original.headers) is Proof.PROVEN
