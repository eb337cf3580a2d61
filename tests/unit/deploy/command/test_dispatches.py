"""The line of `dispatches show` that says who got an e-mail, and its JSON."""

from __future__ import annotations

import json

import pytest

from deploy.command.dispatch_output import every_field, outcome_text
from schemas.dispatch import Dispatch, Origin, Recipient, Status
from schemas.events import Role
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
