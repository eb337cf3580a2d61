"""The JSON Schemas of the answers, as the OpenAPI document has them."""

from __future__ import annotations

from typing import Any

from runtime.feedback import UNCONFIRMED
from schemas.dispatch import Reason, Status
from schemas.events import CertificationExpiring, EventType
from schemas.feedback import FeedbackState

_REASON = (
    "Why it has this status: a stable code. More may be added. "
    "The description at the top explains those of `suppressed`."
)
_INSTANT = {"type": "string", "format": "date-time"}


def recipients_schema(*, with_feedback: bool = False) -> dict[str, Any]:
    """Return the schema of the recipients; only the state of a dispatch has their feedback."""
    statuses = [status.value for status in Status if status is not Status.SENDING]
    return {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["recipient", "channel", "status", "message_id"],
            "properties": {
                "recipient": {"type": "string", "description": "The contact's id."},
                "channel": {"const": "email"},
                "status": {"anyOf": [{"enum": statuses}, {"type": "string"}], "description": "More may be added."},
                "message_id": {"type": ["string", "null"], "description": "The id that SES gave, if sent."},
                "reason": {
                    "type": "string",
                    "description": _REASON,
                    "examples": [reason.value for reason in Reason][:3],
                },
                **({"feedback": _feedback_schema()} if with_feedback else {}),
            },
        },
    }


def answer_schema(kind: EventType | None) -> dict[str, Any]:
    """Return the schema of an endpoint's answer, or without an event type that of the state of a dispatch."""
    reminder = {"days_remaining": {"type": "integer"}}
    properties: dict[str, Any] = {
        "mentor_id": {"type": "string"},
        **(reminder if kind is None or kind.model is CertificationExpiring else {}),
        "notifications_dispatched": recipients_schema(with_feedback=kind is None),
        "dispatched_at": _INSTANT,
    }
    required = [name for name in properties if kind is not None or name != "days_remaining"]
    if kind is None:
        properties["reason"] = {"anyOf": [{"enum": ["unknown_mentor", "key_reused"]}, {"type": "string"}]}
    return {"type": "object", "required": required, "properties": properties}


def _feedback_schema() -> dict[str, Any]:
    states = [state.value for state in FeedbackState] + [UNCONFIRMED]
    return {
        "type": "object",
        "description": "The most severe report of SES about this e-mail. A recipient without it has none yet, or no "
        "e-mail.",
        "required": ["state", "at"],
        "properties": {
            "state": {
                "anyOf": [{"enum": states}, {"type": "string"}],
                "description": f"From the least to the most severe, but for `{UNCONFIRMED}`: SES reported nothing for "
                "a day after the e-mail was sent (the operators may set another time). More may be added.",
            },
            "at": {**_INSTANT, "description": f"When it happened; of `{UNCONFIRMED}`, when the e-mail was sent."},
            "detail": {"type": "string", "description": "SES's type and subtype.", "examples": ["Permanent/NoEmail"]},
        },
    }
