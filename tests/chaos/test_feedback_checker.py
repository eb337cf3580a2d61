"""The checker of feedback, with runs that are built by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.events import REPLICA_SOURCE, dispatch_id
from tests.chaos.evidence import Evidence, Fate, Mail, RecipientState, Record, Reported
from tests.chaos.feedback_checker import doubts, examine_feedback, suppressed

BOUNCED = Fate("m1", "bounced", frozenset({"send", "delivery", "bounce"}))


def _report(kind: str, at: float = 5.0, message_id: str = "m1") -> Reported:
    return Reported("d1", "mentor-1", message_id, kind, at)


def _record(dispatch: str, status: str = "sent", *, at: float = 10.0, answers_lost: int = 0) -> Record:
    stood = RecipientState(status, None, "m1", answers_lost)
    return Record(dispatch, "mentor-1", 0, 0, at, ("t", 0, 0), {"mentor-1": stood}, unknown_mentor=False, retry_of=None)


def _told() -> Record:
    return _record(dispatch_id(REPLICA_SOURCE, "undelivered-d1", "mentor-1"))


def _run(*kinds: str, fate: Fate = BOUNCED) -> Evidence:
    """Build a run of one e-mail, at 2 s, with reports of these kinds."""
    evidence = Evidence(0.0, mails=[Mail("d1", "mentor-1", "m1", 2.0, answer_lost=False)])
    evidence.fates = {fate.message_id: fate}
    evidence.feedback = [_report(kind) for kind in kinds]
    evidence.records = [_record("d1"), _told()]
    return evidence


def test_all_is_well_if_the_topic_has_what_ses_says() -> None:
    """Copies and disorder are no harm."""
    found = examine_feedback(_run("bounce", "send", "bounce", "delivery"))

    assert ([], [], [], []) == (found.lost, found.invented, found.lowered, found.untold)
    assert (3, 1, 4) == (found.made, found.copies, found.before_outcome)


def test_a_report_that_is_missing_is_lost() -> None:
    """Even if the state does not depend on it."""
    found = examine_feedback(_run("bounce", "delivery"))

    assert (["send of m1"], []) == (found.lost, found.lowered)


def test_a_state_that_is_not_that_of_ses_is_found() -> None:
    """A lost bounce leaves it lowered."""
    found = examine_feedback(_run("send", "delivery"))

    assert (["bounce of m1"], ["m1: delivered, but SES says bounced"]) == (found.lost, found.lowered)


def test_an_automatic_reply_is_no_bounce() -> None:
    """It shows that the e-mail was delivered."""
    evidence = _run("send", "delivery", fate=Fate("m1", "delivered", frozenset({"send", "delivery", "bounce"})))
    evidence.feedback.append(replace(_report("bounce"), automatic_reply=True))

    assert [] == examine_feedback(evidence).lowered


def test_a_report_that_nobody_made_is_found() -> None:
    """Those that a test made itself are expected."""
    evidence = _run("send", "delivery", "bounce")
    evidence.feedback += [_report("bounce", message_id="early"), _report("send", message_id="forged")]

    assert ["send of forged"] == examine_feedback(evidence, early={("early", "bounce")}).invented


def test_a_bounce_that_no_coordinator_is_told_of_is_found() -> None:
    """The escalation must have ended."""
    evidence = _run("send", "delivery", "bounce")
    evidence.records = [_record("d1")]

    assert ["d1 to mentor-1"] == examine_feedback(evidence).untold


@pytest.mark.parametrize(("known", "found"), [((), ["d1 to mentor-1"]), (("mentor-1",), [])])
def test_names_who_was_suppressed_without_a_reason(known: tuple[str, ...], found: list[str]) -> None:
    """Those whose e-mails bounce are expected."""
    evidence = Evidence(0.0, records=[_record("d1", "suppressed")])

    assert found == suppressed(evidence, except_contacts=known)


def test_measures_what_a_lost_answer_costs() -> None:
    """From the first e-mail to the end of the dispatch."""
    evidence = _run("send")
    evidence.records = [_record("d1", "pending", at=3.0, answers_lost=1), _record("d1", at=9.0, answers_lost=1)]

    in_doubt = doubts(evidence)

    assert (1, 7.0, 7.0) == (in_doubt.recipients, in_doubt.median, in_doubt.longest)
