"""Decisions: what a copy of an event calls for, and what becomes of a recipient."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import structs

from consumers.delivery import decisions
from consumers.delivery.decisions import (
    AlreadyProcessed,
    AnswerFromEarlier,
    Conflicting,
    Decision,
    Delivery,
    Process,
    RepublishOutcome,
    decide,
    reopen,
)
from consumers.email import AnswerLost, EmailError, Halted, HaltReason, NotSent, Refused, Throttled
from consumers.ledger.retry_window import LastCall
from runtime.settings import LostAnswerPolicy
from schemas.dispatch import Dispatch, Reason, Recipient, Request, Status, fold
from schemas.events import EVENTS_BY_NAME, PAUSES_TOPIC, Event
from tests.unit.dispatches import COORDINATOR, FINAL, MENTOR, NOW, ORIGIN, changed, recipients

KIND = EVENTS_BY_NAME["pause-activated"]
EVENT = Event(kind=KIND, id="1", source="/tests", data=KIND.model.model_validate(KIND.example))
WINDOW = timedelta(seconds=60)
KEYLESS = Request(id="r-2", caller="anonymous", keyless=True)


def copy_of(**changes: Any) -> Delivery:
    """Return the first copy of the event, but for what is stated."""
    return replace(Delivery(event=EVENT, origin=ORIGIN, appended_at=ORIGIN.appended_at), **changes)


def later_copy(**changes: Any) -> Delivery:
    """Return a copy that lies beyond the first."""
    return copy_of(origin=structs.replace(ORIGIN, offset=9), **changes)


def standing(*told: Recipient, seen: bool = True, **changes: Any) -> Dispatch:
    """Return the event's dispatch as it stands."""
    known = structs.replace(decisions.new_dispatch(copy_of()), recipients=told, **changes)
    return known.seen(PAUSES_TOPIC, ORIGIN.offset) if seen and known.final else known


def replayed_at(offset: int, carried: Dispatch) -> Delivery:
    """Return a replay that lies at *offset*."""
    return copy_of(origin=structs.replace(ORIGIN, offset=offset), replay=True, carried=carried)


def ends_of(recipient: Recipient) -> st.SearchStrategy[Recipient]:
    """Return what may become of a recipient; a final one stays as it is."""
    if recipient.status.final:
        return st.just(recipient)
    return st.sampled_from(FINAL).map(lambda status: changed(recipient, status=status))


def decided(delivery: Delivery, known: Dispatch | None = None, last_call: LastCall | None = None) -> Decision:
    """Decide within a window of a minute."""
    return decide(delivery, known, lambda _mentor, _topic: last_call, WINDOW)


SENT = changed(MENTOR, status="sent", send=1, message_id="msg-1")
EXHAUSTED = changed(MENTOR, status="failed", reason="attempts_exhausted", send=5, attempts=5, answers_lost=1)
REFUSED = changed(MENTOR, status="failed", reason="message_rejected", send=1)
UNKNOWN = changed(MENTOR, status="unknown", reason="answer_lost", send=2, answers_lost=2)
LAST = LastCall(5, "f" * 32, "anonymous", EVENT.digest, NOW, answers_retries=True)


class TestDecide:
    """What a copy of an event calls for."""

    def test_a_new_event_goes_on_from_nothing(self) -> None:
        """Of an event of which nothing is known a dispatch begins, with all that its copy says."""
        decision = decided(copy_of(request=KEYLESS))

        assert Process(standing(request=KEYLESS)) == decision
        assert EVENT.dispatch_id == standing().dispatch_id

    @pytest.mark.parametrize("told", [(), (MENTOR,), (changed(MENTOR, status="sending", send=1), COORDINATOR)])
    def test_what_is_not_final_goes_on_where_it_stood(self, told: tuple[Recipient, ...]) -> None:
        """Whether it is a redelivery or a further copy."""
        assert [Process(standing(*told))] * 2 == [
            decided(delivery, standing(*told)) for delivery in (copy_of(), later_copy())
        ]

    @pytest.mark.parametrize("told", [SENT, EXHAUSTED, REFUSED, UNKNOWN])
    @pytest.mark.parametrize("replay", [False, True])
    def test_a_copy_seen_through_is_redelivered(self, told: Recipient, *, replay: bool) -> None:
        """Nothing is done again because a commit was lost, not even what might be mended."""
        assert AlreadyProcessed() == decided(copy_of(replay=replay), standing(told))

    def test_a_further_copy_of_what_is_done_is_repeated(self) -> None:
        """Its fold is appended once more, with this copy seen through."""
        assert RepublishOutcome(standing(SENT).seen(PAUSES_TOPIC, 9)) == decided(later_copy(), standing(SENT))

    def test_one_that_is_final_and_saw_no_copy_through_goes_on(self) -> None:
        """Two owners' records are final only together: somebody has yet to end it, with the dead letter it may need."""
        known = standing(SENT, seen=False)

        assert Process(known) == decided(copy_of(), known)

    def test_other_content_under_a_known_id_conflicts(self) -> None:
        """It is told as it stands, and never mended by what says something else."""
        known = standing(EXHAUSTED, digest="e" * 64)

        assert Conflicting(known.seen(PAUSES_TOPIC, 9)) == decided(later_copy(replay=True), known)

    def test_a_conflict_with_what_is_under_way_sees_nothing_through(self) -> None:
        """The first copy is not finished by another content."""
        known = standing(MENTOR, digest="e" * 64)

        assert Conflicting(known) == decided(later_copy(), known)

    @pytest.mark.parametrize(
        ("told", "replay", "reopens"),
        [
            (SENT, False, False),
            (SENT, True, False),
            (EXHAUSTED, False, True),
            (EXHAUSTED, True, True),
            (REFUSED, False, False),
            (REFUSED, True, True),
            (UNKNOWN, False, False),
            (UNKNOWN, True, True),
            (changed(MENTOR, status="expired", reason="too_late"), True, False),
            (changed(MENTOR, status="suppressed"), True, False),
        ],
    )
    def test_a_further_copy_mends_what_may_have_passed(self, told: Recipient, *, replay: bool, reopens: bool) -> None:
        """A replay reopens what failed or is unknown; any copy what ran out of attempts; nothing what is done."""
        decision = decided(later_copy(replay=replay), standing(told))

        assert reopens == isinstance(decision, Process)
        assert reopens != isinstance(decision, RepublishOutcome)

    @pytest.mark.parametrize("replay", [False, True])
    def test_an_unknown_mentor_is_asked_for_again(self, *, replay: bool) -> None:
        """Any further copy: the contact may have come."""
        known = standing(unknown_mentor=True, ended_at=NOW)

        assert Process(standing().seen(PAUSES_TOPIC, 7)) == decided(later_copy(replay=replay), known)

    def test_a_replay_brings_back_what_was_forgotten(self) -> None:
        """The dispatch as it stood is carried along: who had the mail does not get it again."""
        carried = standing(SENT, changed(COORDINATOR, status="failed", reason="no_address"))

        decision = decided(later_copy(replay=True, carried=carried))

        assert isinstance(decision, Process)
        assert [Status.SENT, Status.PENDING] == [r.status for r in decision.dispatch.recipients]

    @settings(deadline=None, max_examples=200)
    @given(data=st.data())
    def test_a_replay_published_twice_is_harmless(self, data: st.DataObject) -> None:
        """Whatever the first of two equal replays led to, the second reopens nothing."""
        told = data.draw(st.tuples(ends_of(MENTOR), ends_of(COORDINATOR)) | st.just(()))
        carried = standing(*told, unknown_mentor=not told)
        first = decided(replayed_at(9, carried), data.draw(st.sampled_from([None, carried])))
        assume(isinstance(first, Process))
        assert isinstance(first, Process)
        named = data.draw(st.sampled_from([(), (MENTOR,)])) if not told else first.dispatch.recipients
        outcomes = [data.draw(ends_of(recipient)) for recipient in named]
        ended = standing(*outcomes, unknown_mentor=not outcomes).seen(PAUSES_TOPIC, 9)

        second = decided(replayed_at(10, carried), ended)

        assert RepublishOutcome(fold(ended, carried).seen(PAUSES_TOPIC, 10)) == second

    def test_a_replay_made_before_the_mentor_was_known_asks_for_nobody(self) -> None:
        """Recipients who were named and failed since were tried after it was made."""
        carried = standing(unknown_mentor=True)

        decision = decided(replayed_at(10, carried), standing(REFUSED).seen(PAUSES_TOPIC, 9))

        assert isinstance(decision, RepublishOutcome)

    def test_a_replay_reopens_who_was_not_tried_since(self) -> None:
        """Of two who failed, the one whom another copy reopened meanwhile is left alone."""
        coordinator = changed(COORDINATOR, status="failed", reason="no_address")
        tried = changed(EXHAUSTED, round=1)

        decision = decided(replayed_at(10, standing(EXHAUSTED, coordinator)), standing(tried, coordinator))

        assert isinstance(decision, Process)
        assert [tried.status, Status.PENDING] == [r.status for r in decision.dispatch.recipients]

    def test_what_a_replay_carries_is_folded_into_what_is_known(self) -> None:
        """A mail that was sent since it was set aside stays sent."""
        decision = decided(later_copy(replay=True, carried=standing(REFUSED)), standing(SENT))

        assert isinstance(decision, RepublishOutcome)
        assert (SENT,) == decision.dispatch.recipients

    def test_a_keyless_call_repeated_is_a_retry(self) -> None:
        """It is answered from the first."""
        assert AnswerFromEarlier("f" * 32) == decided(copy_of(request=KEYLESS), last_call=LAST)

    @pytest.mark.parametrize(
        ("request_", "last_call", "window"),
        [
            (None, LAST, WINDOW),
            (structs.replace(KEYLESS, keyless=False), LAST, WINDOW),
            (structs.replace(KEYLESS, caller="other"), LAST, WINDOW),
            (KEYLESS, None, WINDOW),
            (KEYLESS, LAST, timedelta()),
            (KEYLESS, replace(LAST, digest="e" * 64), WINDOW),
            (KEYLESS, replace(LAST, answers_retries=False), WINDOW),
            (KEYLESS, replace(LAST, ended_at=None), WINDOW),
            (KEYLESS, replace(LAST, ended_at=NOW - WINDOW), WINDOW),
        ],
    )
    def test_anything_else_is_an_event_of_its_own(
        self, request_: Request | None, last_call: LastCall | None, window: timedelta
    ) -> None:
        """Another caller, content or door, too long ago, no end, or a window of none."""
        assert isinstance(decide(copy_of(request=request_), None, lambda _mentor, _topic: last_call, window), Process)

    def test_a_known_id_is_no_retry(self) -> None:
        """The very event redelivered goes on where it stood, although it is like the last call."""
        assert Process(standing(MENTOR)) == decided(copy_of(request=KEYLESS), standing(MENTOR), LAST)


class TestReopen:
    """What is tried again."""

    def test_it_begins_a_round(self) -> None:
        """Attempts and lost answers are counted anew, sends are not."""
        again = reopen(standing(EXHAUSTED, ended_at=NOW), replay=False)

        assert again is not None
        assert again.ended_at is None
        assert (changed(MENTOR, status="pending", reason="reopened", round=1, send=5),) == again.recipients

    def test_a_retry_is_never_reopened(self) -> None:
        """Its recipients are another dispatch's, which has its own record to mend."""
        assert reopen(standing(EXHAUSTED, retry_of="f" * 32), replay=True) is None

    @settings(deadline=None, max_examples=100)
    @given(recipient=recipients(MENTOR), replay=st.booleans())
    def test_what_was_reopened_wins_over_what_was(self, recipient: Recipient, *, replay: bool) -> None:
        """Readers fold a reopened recipient over its old state, whatever that was."""
        known = standing(recipient)
        again = reopen(known, replay=replay) if known.final else None

        if again is not None:
            assert again.recipients[0].precedence > recipient.precedence

    def test_a_retry_has_the_firsts_recipients(self) -> None:
        """Under its own id and its own request, final, with its own copy seen through."""
        first = standing(SENT)
        retry = decisions.retry_dispatch(later_copy(request=KEYLESS), first, NOW)

        assert (SENT,) == retry.recipients
        assert first.dispatch_id == retry.retry_of
        assert KEYLESS == retry.request
        assert retry.has_seen(PAUSES_TOPIC, 9)


class TestSend:
    """What becomes of a recipient who is sent to."""

    def test_beginning_counts_the_send(self) -> None:
        """The intent wins over what was pending before it."""
        (begun,) = decisions.begin([changed(MENTOR, send=2, reason="throttled")], NOW)

        assert changed(MENTOR, status="sending", send=3, at=NOW) == begun

    def test_an_accepted_email_has_its_id(self) -> None:
        """And no reason any more."""
        sending = changed(MENTOR, status="sending", send=1)

        assert changed(SENT, at=NOW) == decisions.sent(sending, "msg-1", NOW)

    def test_one_not_called_wins_over_its_intent(self) -> None:
        """Surely not sent: it is pending again in the same send."""
        begun = decisions.begin([MENTOR], NOW)

        (pending,) = decisions.not_called(begun)

        assert Status.PENDING == pending.status
        assert Reason.NOT_CALLED == pending.reason
        assert pending.precedence > begun[0].precedence

    @pytest.mark.parametrize(
        ("policy", "before", "status"),
        [
            (LostAnswerPolicy.RESEND, 0, Status.PENDING),
            (LostAnswerPolicy.RESEND, 1, Status.UNKNOWN),
            (LostAnswerPolicy.HOLD, 0, Status.UNKNOWN),
            (LostAnswerPolicy.HOLD, 1, Status.UNKNOWN),
        ],
    )
    def test_a_lost_answer(self, policy: LostAnswerPolicy, before: int, status: Status) -> None:
        """Sent once more under `resend`, else unknown; no attempt is charged."""
        sending = changed(MENTOR, status="sending", send=1, attempts=2, answers_lost=before)

        for lost in (
            decisions.lost(sending, policy, NOW),
            decisions.not_sent(sending, AnswerLost(""), NOW, policy=policy, charge=True, max_attempts=3),
        ):
            assert status == lost.status
            assert Reason.ANSWER_LOST == lost.reason
            assert before + 1 == lost.answers_lost
            assert 2 == lost.attempts

    @pytest.mark.parametrize(
        ("error", "charge", "attempts", "expected"),
        [
            (NotSent(""), True, 0, (Status.PENDING, Reason.NOT_ACCEPTED, 1)),
            (NotSent(""), False, 0, (Status.PENDING, Reason.NOT_ACCEPTED, 0)),
            (NotSent("", unreachable=True), True, 1, (Status.PENDING, Reason.NOT_ACCEPTED, 2)),
            (NotSent(""), True, 2, (Status.FAILED, Reason.ATTEMPTS_EXHAUSTED, 3)),
            (NotSent(""), False, 2, (Status.PENDING, Reason.NOT_ACCEPTED, 2)),
            (Throttled(""), True, 2, (Status.PENDING, Reason.THROTTLED, 2)),
            (Halted("", halt=HaltReason.DAILY_QUOTA), True, 2, (Status.PENDING, Reason.HALTED, 2)),
            (Refused("", reason=Reason.BAD_REQUEST), True, 0, (Status.FAILED, Reason.BAD_REQUEST, 0)),
            (Refused("", reason=Reason.RECIPIENT_NOT_VERIFIED), False, 0, (Status.FAILED, "recipient_not_verified", 0)),
        ],
    )
    def test_what_an_error_costs(
        self, error: EmailError, attempts: int, expected: tuple[Status, Reason, int], *, charge: bool
    ) -> None:
        """Throttles and halts charge nothing, a refusal is for good, else it counts where others got through."""
        sending = changed(MENTOR, status="sending", send=1, attempts=attempts)
        after = decisions.not_sent(sending, error, NOW, policy=LostAnswerPolicy.RESEND, charge=charge, max_attempts=3)

        assert expected == (after.status, after.reason, after.attempts)
        assert after.precedence > sending.precedence

    def test_due_and_doubt_are_told_apart(self) -> None:
        """Pending is due, sending is in doubt, what has ended is neither."""
        doubtful = changed(COORDINATOR, status="sending")

        assert [MENTOR] == decisions.due(standing(MENTOR, doubtful))
        assert [doubtful] == decisions.in_doubt(standing(MENTOR, doubtful))
        assert [] == decisions.due(standing(SENT))
        assert [] == decisions.in_doubt(standing(SENT))
