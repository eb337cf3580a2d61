"""How a dispatch is printed: its main facts, its recipients, and what became of their e-mails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import asdict

from deploy.support.output import print_table, print_text
from runtime.feedback import Shown
from schemas.dispatch import Dispatch, Status, Verdict, verdict
from schemas.events import UNDELIVERED
from schemas.times import format_seconds


def every_field(dispatch: Dispatch) -> dict[str, Any]:
    """Return all fields of a dispatch for scripts, also those that its record omits."""
    nested = {
        "origin": asdict(dispatch.origin),
        "request": dispatch.request and asdict(dispatch.request),
        "recipients": [asdict(recipient) for recipient in dispatch.recipients],
    }
    document: dict[str, Any] = msgspec.to_builtins({**asdict(dispatch), **nested})
    return document


def with_feedback(document: dict[str, Any], feedback: Mapping[str, Shown]) -> dict[str, Any]:
    """Return all fields of a dispatch with the feedback of each recipient, or null if there is none."""
    recipients = [{**one, "feedback": feedback.get(one["contact_id"])} for one in document["recipients"]]
    return {**document, "recipients": recipients}


def feedback_text(shown: Shown | None) -> str:
    """Return the feedback of one recipient on one line."""
    if shown is None:
        return ""
    detail = f" ({shown['detail']})" if "detail" in shown else ""
    return f"{shown['state']}{detail}, {shown['at']}"


def summary_lines(dispatch: Dispatch) -> list[str]:
    """Return the main facts of a dispatch, one per line."""
    origin = dispatch.origin
    lines = [
        f"dispatch  {dispatch.dispatch_id}",
        f"event     {dispatch.event_type} about {dispatch.mentor_id}",
        f"at        {origin.position}, {format_seconds(origin.appended_at)}",
        f"sent to   {outcome_text(dispatch)}",
    ]
    if dispatch.final and dispatch.ended_at is not None:  # a reopened one keeps the time
        lines.append(f"ended     {format_seconds(dispatch.ended_at)}")
    if dispatch.retry_of is not None:
        lines.append(f"retry of  {dispatch.retry_of}")
    return lines


def outcome_text(dispatch: Dispatch) -> str:
    """Return who got an e-mail: all, some, nobody and why, or nobody yet."""
    if verdict(dispatch) is Verdict.UNKNOWN_MENTOR:
        escalation = dispatch.event_type == UNDELIVERED.type
        return "nobody: the mentor has no coordinator" if escalation else "nobody: the mentor is unknown"
    statuses = [recipient.status for recipient in dispatch.recipients]
    if statuses and set(statuses) == {Status.SENT}:
        return "all"
    others = ", ".join(sorted({status.value for status in statuses if status is not Status.SENT}))
    sent = f"{statuses.count(Status.SENT)} of {len(statuses)}" if Status.SENT in statuses else "nobody"
    return f"{sent}{'' if dispatch.final else ' yet'}{f' (the rest: {others})' if others else ''}"


def print_dispatches(dispatches: Sequence[Dispatch]) -> None:
    """Print one row per dispatch."""
    if not dispatches:
        print_text("no dispatches")
        return
    print_table(
        ("dispatch", "event", "at", "appended", "sent to"),
        [
            (
                one.dispatch_id,
                one.event_type,
                str(one.origin.position),
                format_seconds(one.origin.appended_at),
                outcome_text(one),
            )
            for one in dispatches
        ],
    )


def print_recipients(dispatch: Dispatch, feedback: Mapping[str, Shown] | None = None) -> None:
    """Print the recipients of a dispatch, if it has any, and if it was read, what became of their e-mails."""
    columns = ("recipient", "role", "status", "reason", "message id", "when", "sends")
    if dispatch.recipients:
        print_table(
            columns if feedback is None else (*columns, "feedback"),
            [
                (
                    recipient.contact_id,
                    recipient.role.value,
                    recipient.status.value,
                    ": ".join(filter(None, (recipient.reason, recipient.field))),
                    recipient.message_id or "",
                    format_seconds(recipient.at) if recipient.at else "",
                    str(recipient.send),
                    *(() if feedback is None else (feedback_text(feedback.get(recipient.contact_id)),)),
                )
                for recipient in dispatch.recipients
            ],
        )
