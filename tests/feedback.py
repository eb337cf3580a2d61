"""Feedback for tests: a report, and its signed record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from schemas.feedback import Feedback, address_digest, feedback_json
from schemas.signatures import SigningKeys
from tests.signing import KEYS

REPORTED_AT = datetime(2026, 3, 26, 8, 31, tzinfo=UTC)
RECIPIENT = "mentor-042"
ADDRESS = address_digest(RECIPIENT, "mentor-042@example.org")


def a_report(kind: str = "bounce", **changes: Any) -> Feedback:
    """Return a report about the contract's mentor with *changes*; a bounce is permanent unless they say otherwise."""
    known: dict[str, Any] = {
        "dispatch_id": "0123456789abcdef0123456789abcdef",
        "recipient": RECIPIENT,
        "message_id": "msg-00940",
        "kind": kind,
        "at": REPORTED_AT,
        "address": ADDRESS,
        **({"type": "Permanent", "subtype": "NoEmail"} if kind == "bounce" else {}),
    }
    return msgspec.convert({**known, **changes}, Feedback)


def as_record(topic: str, report: Feedback, keys: SigningKeys = KEYS) -> dict[str, Any]:
    """Return key, value and headers of a report's record, signed by *keys*."""
    key, value = report.dispatch_id.encode(), feedback_json(report)
    return {"key": key, "value": value, "headers": keys.signed(topic, key, value, [])}
