"""Decide what a delivery of an event calls for, and what becomes of a recipient."""

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


def delivery_of(**changes: Any) -> Delivery:
    """Return the first delivery of the event, with these changes."""
    return replace(Delivery(event=EVENT, origin=ORIGIN, appended_at=ORIGIN.appended_at), **changes)


def later_delivery(**changes: Any) -> Delivery:
    """Return a later delivery, at a higher offset."""
    return delivery_of(origin=structs.replace(ORIGIN, offset=9), **changes)


def dispatch_with(*states: Recipient, seen: bool = True, **changes: Any) -> Dispatch:
    """Return the dispatch of the event with these recipients."""
    known = structs.replace(decisions.new_dispatch(delivery_of()), recipients=states, **changes)
    return known.seen(PAUSES_TOPIC, ORIGIN.offset) if seen and known.final else known


def replayed_at(offset: int, carried: Dispatch) -> Delivery:
    """Return a replay at *offset*."""
    return delivery_of(origin=structs.replace(ORIGIN, offset=offset), replay=True, carried=carried)


def ends_of(recipient: Recipient) -> st.SearchStrategy[Recipient]:
    """Return any final state that a recipient may reach; a final one stays as it is."""
    if recipient.status.final:
        return st.just(recipient)
    return st.sampled_from(FINAL).map(lambda status: changed(recipient, status=status))


def decided(delivery: Delivery, known: Dispatch | None = None, last_call: LastCall | None = None) -> Decision:
    """Decide with a retry window of a minute."""
    return decide(delivery, known, lambda _mentor, _topic: last_call, WINDOW)


SENT = changed(MENTOR, status="sent", send=1, message_id="msg-1")
EXHAUSTED = changed(MENTOR, status="failed", reason="attempts_exhausted", send=5, attempts=5, answers_lost=1)
REFUSED = changed(MENTOR, status="failed", reason="message_rejected", send=1)
UNKNOWN = changed(MENTOR, status="unknown", reason="answer_lost", send=2, answers_lost=2)
LAST = LastCall(5, "f" * 32, "anonymous", EVENT.digest, NOW, answers_retries=True)


class TestDecide:
    """What a delivery of an event calls for."""

    def test_a_new_event_is_processed_from_the_beginning(self) -> None:
        """An unknown event begins a dispatch with all that its delivery says."""
        decision = decided(delivery_of(request=KEYLESS))

        assert Process(dispatch_with(request=KEYLESS)) == decision
        assert EVENT.dispatch_id == dispatch_with().dispatch_id

    @pytest.mark.parametrize("states", [(), (MENTOR,), (changed(MENTOR, status="sending", send=1), COORDINATOR)])
    def test_a_dispatch_that_is_not_final_is_continued(self, states: tuple[Recipient, ...]) -> None:
        """A redelivery and another delivery both continue it."""
        assert [Process(dispatch_with(*states))] * 2 == [
            decided(delivery, dispatch_with(*states)) for delivery in (delivery_of(), later_delivery())
        ]

    @pytest.mark.parametrize("states", [SENT, EXHAUSTED, REFUSED, UNKNOWN])
    @pytest.mark.parametrize("replay", [False, True])
    def test_a_processed_delivery_is_ignored(self, states: Recipient, *, replay: bool) -> None:
        """A lost commit causes no second processing, not even of what may be reopened."""
        assert AlreadyProcessed() == decided(delivery_of(replay=replay), dispatch_with(states))

    def test_another_delivery_repeats_the_outcome(self) -> None:
        """The outcome is appended again, and this delivery counts as processed."""
        assert RepublishOutcome(dispatch_with(SENT).seen(PAUSES_TOPIC, 9)) == decided(
            later_delivery(), dispatch_with(SENT)
        )

    def test_a_final_dispatch_that_nobody_ended_is_processed(self) -> None:
        """The records of two owners are final only when merged: the dispatch may still need its dead letter."""
        known = dispatch_with(SENT, seen=False)

        assert Process(known) == decided(delivery_of(), known)

    def test_other_content_under_a_known_id_conflicts(self) -> None:
        """The outcome stays as it is: other content reopens nothing."""
        known = dispatch_with(EXHAUSTED, digest="e" * 64)

        assert Conflicting(known.seen(PAUSES_TOPIC, 9)) == decided(later_delivery(replay=True), known)

    def test_a_conflict_does_not_finish_an_unfinished_dispatch(self) -> None:
        """Other content does not finish the first delivery."""
        known = dispatch_with(MENTOR, digest="e" * 64)

        assert Conflicting(known) == decided(later_delivery(), known)

    @pytest.mark.parametrize(
        ("states", "replay", "reopens"),
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
            (changed(MENTOR, status="suppressed", reason="sent_earlier"), True, False),
            (changed(MENTOR, status="suppressed", reason="of_a_newer_release"), True, False),
            (changed(MENTOR, status="suppressed", reason="bounced"), False, False),
            (changed(MENTOR, status="suppressed", reason="bounced"), True, True),
            (changed(MENTOR, status="suppressed", reason="complained"), True, True),
            (changed(MENTOR, status="suppressed", reason="unreachable"), True, True),
            (changed(MENTOR, status="suppressed", reason="manual"), True, True),
        ],
    )
    def test_another_delivery_reopens_what_may_succeed_now(
        self, states: Recipient, *, replay: bool, reopens: bool
    ) -> None:
        """A replay reopens what failed, is unknown or has a suppressed address; any delivery what used up attempts."""
        decision = decided(later_delivery(replay=replay), dispatch_with(states))

        assert reopens == isinstance(decision, Process)
        assert reopens != isinstance(decision, RepublishOutcome)

    @pytest.mark.parametrize("replay", [False, True])
    def test_an_unknown_mentor_is_looked_up_again(self, *, replay: bool) -> None:
        """The contact may be known by the next delivery."""
        known = dispatch_with(unknown_mentor=True, ended_at=NOW)

        assert Process(dispatch_with().seen(PAUSES_TOPIC, 7)) == decided(later_delivery(replay=replay), known)

    def test_a_replay_restores_a_forgotten_dispatch(self) -> None:
        """The replay carries the dispatch, so a recipient who had the e-mail gets no second one."""
        carried = dispatch_with(SENT, changed(COORDINATOR, status="failed", reason="no_address"))

        decision = decided(later_delivery(replay=True, carried=carried))

        assert isinstance(decision, Process)
        assert [Status.SENT, Status.PENDING] == [r.status for r in decision.dispatch.recipients]

    @settings(deadline=None, max_examples=200)
    @given(data=st.data())
    def test_a_replay_published_twice_is_harmless(self, data: st.DataObject) -> None:
        """Whatever the first of two equal replays leads to, the second reopens nothing."""
        states = data.draw(st.tuples(ends_of(MENTOR), ends_of(COORDINATOR)) | st.just(()))
        carried = dispatch_with(*states, unknown_mentor=not states)
        first = decided(replayed_at(9, carried), data.draw(st.sampled_from([None, carried])))
        assume(isinstance(first, Process))
        assert isinstance(first, Process)
        named = data.draw(st.sampled_from([(), (MENTOR,)])) if not states else first.dispatch.recipients
        outcomes = [data.draw(ends_of(recipient)) for recipient in named]
        ended = dispatch_with(*outcomes, unknown_mentor=not outcomes).seen(PAUSES_TOPIC, 9)

        second = decided(replayed_at(10, carried), ended)

        assert RepublishOutcome(fold(ended, carried).seen(PAUSES_TOPIC, 10)) == second

    def test_a_replay_made_before_the_mentor_was_known_reopens_nobody(self) -> None:
        """Recipients that were named and failed since then were tried after the replay was made."""
        carried = dispatch_with(unknown_mentor=True)

        decision = decided(replayed_at(10, carried), dispatch_with(REFUSED).seen(PAUSES_TOPIC, 9))

        assert isinstance(decision, RepublishOutcome)

    def test_a_replay_reopens_who_was_not_tried_since(self) -> None:
        """Of two failed recipients, the one that another delivery reopened meanwhile is left alone."""
        coordinator = changed(COORDINATOR, status="failed", reason="no_address")
        tried = changed(EXHAUSTED, round=1)

        decision = decided(replayed_at(10, dispatch_with(EXHAUSTED, coordinator)), dispatch_with(tried, coordinator))

        assert isinstance(decision, Process)
        assert [tried.status, Status.PENDING] == [r.status for r in decision.dispatch.recipients]

    def test_a_carried_dispatch_is_merged_into_the_known_one(self) -> None:
        """An e-mail that was sent after the dead letter stays sent."""
        decision = decided(later_delivery(replay=True, carried=dispatch_with(REFUSED)), dispatch_with(SENT))

        assert isinstance(decision, RepublishOutcome)
        assert (SENT,) == decision.dispatch.recipients

    def test_a_repeated_call_without_a_key_is_a_retry(self) -> None:
        """The retry is answered from the first call."""
        assert AnswerFromEarlier("f" * 32) == decided(delivery_of(request=KEYLESS), last_call=LAST)

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
    def test_anything_else_is_a_new_event(
        self, request_: Request | None, last_call: LastCall | None, window: timedelta
    ) -> None:
        """Another caller or content, no call, an old or unfinished first call, or no window."""
        assert isinstance(
            decide(delivery_of(request=request_), None, lambda _mentor, _topic: last_call, window), Process
        )

    def test_a_known_id_is_no_retry(self) -> None:
        """A redelivered event is continued, although it equals the last call."""
        assert Process(dispatch_with(MENTOR)) == decided(delivery_of(request=KEYLESS), dispatch_with(MENTOR), LAST)


class TestReopen:
    """Which recipients are tried again."""

    def test_reopening_begins_a_round(self) -> None:
        """Attempts and lost answers are counted from zero; sends go on counting."""
        again = reopen(dispatch_with(EXHAUSTED, ended_at=NOW), replay=False)

        assert again is not None
        assert again.ended_at is None
        assert (changed(MENTOR, status="pending", reason="reopened", round=1, send=5),) == again.recipients

    def test_a_retry_is_never_reopened(self) -> None:
        """Its recipients belong to another dispatch, which can be reopened itself."""
        assert reopen(dispatch_with(EXHAUSTED, retry_of="f" * 32), replay=True) is None

    @settings(deadline=None, max_examples=100)
    @given(recipient=recipients(MENTOR), replay=st.booleans())
    def test_a_reopened_recipient_wins_over_its_old_state(self, recipient: Recipient, *, replay: bool) -> None:
        """Readers prefer a reopened recipient to any old state."""
        known = dispatch_with(recipient)
        again = reopen(known, replay=replay) if known.final else None

        if again is not None:
            assert again.recipients[0].precedence > recipient.precedence

    def test_a_retry_has_the_recipients_of_the_first(self) -> None:
        """It has its own id and request, is final, and names its own delivery as processed."""
        first = dispatch_with(SENT)
        retry = decisions.retry_dispatch(later_delivery(request=KEYLESS), first, NOW)

        assert (SENT,) == retry.recipients
        assert first.dispatch_id == retry.retry_of
        assert KEYLESS == retry.request
        assert retry.has_seen(PAUSES_TOPIC, 9)


class TestSend:
    """What becomes of a recipient who is sent to."""

    def test_beginning_counts_the_send(self) -> None:
        """The intent wins over the pending state before it."""
        (begun,) = decisions.begin([changed(MENTOR, send=2, reason="throttled")], NOW)

        assert changed(MENTOR, status="sending", send=3, at=NOW) == begun

    def test_an_accepted_email_has_its_id(self) -> None:
        """It no longer has a reason."""
        sending = changed(MENTOR, status="sending", send=1)

        assert changed(SENT, at=NOW) == decisions.sent(sending, "msg-1", NOW)

    def test_a_withdrawn_intent_wins_over_the_intent(self) -> None:
        """The recipient was surely not sent to, and is pending again in the same send."""
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
        """The e-mail is sent again under `resend`, else the recipient is unknown; no attempt is charged."""
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
        """Throttles and halts charge nothing, a refusal is final, and other failures count while SES accepts mail."""
        sending = changed(MENTOR, status="sending", send=1, attempts=attempts)
        after = decisions.not_sent(sending, error, NOW, policy=LostAnswerPolicy.RESEND, charge=charge, max_attempts=3)

        assert expected == (after.status, after.reason, after.attempts)
        assert after.precedence > sending.precedence

    def test_due_and_in_doubt_are_different(self) -> None:
        """Pending is due, sending is in doubt, a final recipient is neither."""
        doubtful = changed(COORDINATOR, status="sending")

        assert [MENTOR] == decisions.due(dispatch_with(MENTOR, doubtful))
        assert [doubtful] == decisions.in_doubt(dispatch_with(MENTOR, doubtful))
        assert [] == decisions.due(dispatch_with(SENT))
        assert [] == decisions.in_doubt(dispatch_with(SENT))
