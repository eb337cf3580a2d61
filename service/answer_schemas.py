"""The schemas of bodies and answers, as the components of the OpenAPI document. Each generator makes a type of each."""

from __future__ import annotations

from typing import Any

from runtime.feedback import UNCONFIRMED
from schemas.dispatch import Reason, Status
from schemas.events import EVENTS, CertificationExpiring, EventType
from schemas.feedback import FeedbackState

Schema = dict[str, Any]

_REASON = (
    "Why it has this status: a stable code. More may be added. "
    "The description at the top explains those of `suppressed`."
)
_INSTANT = {"type": "string", "format": "date-time"}


def reference(name: str) -> Schema:
    """Return a reference to one of the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def answer_name(kind: EventType | None) -> str:
    """Return the component of an endpoint's answer, or without an event type that of the state of a dispatch."""
    if kind is None:
        return "DispatchState"
    return "ReminderAnswer" if kind.model is CertificationExpiring else "Answer"


def components() -> dict[str, Schema]:
    """Return all schemas by name."""
    return {
        **{kind.model.__name__: _body(kind) for kind in EVENTS},
        "Answer": _answer(),
        "ReminderAnswer": _answer(days_remaining={"type": "integer"}),
        "DispatchState": _state(),
        "Recipient": _recipient(),
        "RecipientState": _recipient(feedback=reference("Feedback")),
        "Feedback": _feedback(),
        "Problem": _problem(),
        "FieldError": _object(pointer={"type": "string"}, detail={"type": "string"}),
    }


def _object(optional: Schema | None = None, **required: Schema) -> Schema:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _list_of(name: str) -> Schema:
    return {"type": "array", "items": reference(name)}


def _code(*known: str, description: str) -> Schema:
    return {"anyOf": [{"enum": list(known)}, {"type": "string"}], "description": description}


def _body(kind: EventType) -> Schema:
    schema = kind.model.model_json_schema()
    return {keyword: value for keyword, value in schema.items() if keyword != "examples"}


def _answer(**more: Schema) -> Schema:
    return _object(
        mentor_id={"type": "string"}, **more, notifications_dispatched=_list_of("Recipient"), dispatched_at=_INSTANT
    )


def _state() -> Schema:
    return _object(
        {
            "days_remaining": {"type": "integer"},
            "reason": _code("unknown_mentor", "key_reused", description="Why nobody is notified. More may be added."),
        },
        mentor_id={"type": "string"},
        notifications_dispatched=_list_of("RecipientState"),
        dispatched_at=_INSTANT,
    )


def _recipient(**more: Schema) -> Schema:
    statuses = [status.value for status in Status if status is not Status.SENDING]
    return _object(
        {
            "reason": {
                "type": "string",
                "description": _REASON,
                "examples": [reason.value for reason in Reason][:3],
            },
            **more,
        },
        recipient={"type": "string", "description": "The contact's id."},
        channel={"const": "email"},
        status=_code(*statuses, description="More may be added."),
        message_id={"type": ["string", "null"], "description": "The id that SES gave, if sent."},
    )


def _feedback() -> Schema:
    states = [state.value for state in FeedbackState] + [UNCONFIRMED]
    feedback = _object(
        {"detail": {"type": "string", "description": "SES's type and subtype.", "examples": ["Permanent/NoEmail"]}},
        state=_code(
            *states,
            description=f"From the least to the most severe, but for `{UNCONFIRMED}`: SES reported nothing for "
            "a day after the e-mail was sent (the operators may set another time). More may be added.",
        ),
        at={**_INSTANT, "description": f"When it happened; of `{UNCONFIRMED}`, when the e-mail was sent."},
    )
    feedback["description"] = (
        "The most severe report of SES about this e-mail. A recipient without it has none yet, or no e-mail."
    )
    return feedback


def _problem() -> Schema:
    return _object(
        {
            "dispatch_id": {"type": "string"},
            "notifications_dispatched": _list_of("Recipient"),
            "errors": _list_of("FieldError"),
        },
        type={
            "type": "string",
            "format": "uri-reference",
            "description": "Stable; also the address of a page that explains it.",
        },
        title={"type": "string"},
        status={"type": "integer"},
        detail={"type": "string"},
        trace_id={"type": "string"},
    )
