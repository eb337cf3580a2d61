"""How `dispatches show` prints who got an e-mail, and what became of it; its JSON."""

from __future__ import annotations

import json

import pytest
from msgspec import structs

from deploy.command.dispatch_output import (
    every_field,
    feedback_text,
    outcome_text,
    print_recipients,
    summary_lines,
    with_feedback,
)
from schemas.dispatch import Dispatch, Origin, Recipient, Status
from schemas.events import UNDELIVERED, Role
from schemas.times import parse_instant

ORIGIN = Origin(topic="mentor.pauses.v1", partition=0, offset=0, appended_at=parse_instant("2026-03-26T08:30:00Z"))


def a_dispatch(*statuses: Status, unknown_mentor: bool = False) -> Dispatch:
    """Return a dispatch whose recipients have these statuses."""
    recipients = tuple(
        Recipient(contact_id=f"contact-{number}", role=role, status=status)
        for number, (role, status) in enumerate(zip(Role, statuses, strict=False))
    )
    return Dispatch(
        dispatch_id="0" * 32,
        event_type="mentor.pause.lifted.v1",
        mentor_id="contact-0",
        digest="d",
        origin=ORIGIN,
        recipients=recipients,
        unknown_mentor=unknown_mentor,
    )


@pytest.mark.parametrize(
    ("statuses", "line"),
    [
        ((Status.SENT, Status.SENT), "all"),
        ((Status.SENT, Status.FAILED), "1 of 2 (the rest: failed)"),
        ((Status.SENT, Status.PENDING), "1 of 2 yet (the rest: pending)"),
        ((Status.UNKNOWN, Status.UNKNOWN), "nobody (the rest: unknown)"),
        ((Status.UNKNOWN, Status.FAILED), "nobody (the rest: failed, unknown)"),
        ((Status.SENDING,), "nobody yet (the rest: sending)"),
        ((), "nobody yet"),
    ],
)
def test_text_says_who_got_an_e_mail(statuses: tuple[Status, ...], line: str) -> None:
    """Only recipients whose e-mail was accepted count; the statuses of the others follow."""
    assert line == outcome_text(a_dispatch(*statuses))


@pytest.mark.parametrize(("status", "shown"), [(Status.SENT, 1), (Status.PENDING, 0)])
def test_a_reopened_dispatch_has_not_ended(status: Status, shown: int) -> None:
    """A replay reopens a dispatch whose record keeps when it ended: that is shown once it ends again."""
    dispatch = structs.replace(a_dispatch(status), ended_at=parse_instant("2026-03-26T08:30:00Z"))

    assert shown == sum(line.startswith("ended ") for line in summary_lines(dispatch))


def test_json_has_every_field() -> None:
    """A script does not need to know which fields a record omits."""
    recipient = {
        "contact_id": "contact-0",
        "role": "mentor",
        "status": "sent",
        "reason": None,
        "field": None,
        "message_id": None,
        "at": None,
        "round": 0,
        "send": 0,
        "attempts": 0,
        "answers_lost": 0,
    }
    expected = {
        "dispatch_id": "0" * 32,
        "event_type": "mentor.pause.lifted.v1",
        "mentor_id": "contact-0",
        "digest": "d",
        "origin": {
            "topic": "mentor.pauses.v1",
            "partition": 0,
            "offset": 0,
            "appended_at": "2026-03-26T08:30:00Z",
        },
        "request": None,
        "recipients": [recipient],
        "unknown_mentor": False,
        "retry_of": None,
        "ended_at": None,
        "seen_through": {},
    }

    assert json.dumps(expected) == json.dumps(every_field(a_dispatch(Status.SENT)))


def test_text_says_that_the_mentor_is_unknown() -> None:
    """If the mentor is unknown, nobody got an e-mail, and the line says why."""
    assert "nobody: the mentor is unknown" == outcome_text(a_dispatch(unknown_mentor=True))


def test_text_says_that_there_is_no_coordinator() -> None:
    """An escalation has nobody else to tell."""
    dispatch = structs.replace(a_dispatch(unknown_mentor=True), event_type=UNDELIVERED.type)

    assert "nobody: the mentor has no coordinator" == outcome_text(dispatch)


BOUNCED = {"state": "bounced", "at": "2026-03-26T08:30:02Z", "detail": "Permanent/NoEmail"}


def test_json_has_the_feedback_of_each_recipient() -> None:
    """It is beside the fields of the recipient, and null if there is none."""
    document = with_feedback(every_field(a_dispatch(Status.SENT, Status.SENT)), {"contact-1": BOUNCED})

    assert [None, BOUNCED] == [one["feedback"] for one in document["recipients"]]


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (None, ""),
        (BOUNCED, "bounced (Permanent/NoEmail), 2026-03-26T08:30:02Z"),
        ({"state": "delivered", "at": "2026-03-26T08:30:02Z"}, "delivered, 2026-03-26T08:30:02Z"),
    ],
)
def test_text_says_what_became_of_an_e_mail(shown: dict[str, str] | None, text: str) -> None:
    """State, detail and time are on one line; without feedback it is empty."""
    assert text == feedback_text(shown)


@pytest.mark.parametrize(("feedback", "last"), [(None, "sends"), ({}, "feedback")], ids=["not read", "none"])
def test_a_table_has_feedback_only_if_it_was_read(
    feedback: dict[str, dict[str, str]] | None, last: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dead letter shows the dispatch of its time, without feedback."""
    print_recipients(a_dispatch(Status.SENT), feedback)

    assert last == capsys.readouterr().out.splitlines()[0].split("\t")[-1]
