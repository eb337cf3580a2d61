"""Accepted mails for tests of what keeps and shows them."""

from __future__ import annotations

from typing import Any

from deploy.local.ses.mails import Answer, Email, Mail


def mail(number: int, **changes: Any) -> Mail:
    """Return the mail of that number, with a changed e-mail."""
    address = f"mentor-{number:03}@example.org"
    fields = {
        "sender": "Mentoring <notices@example.com>",
        "sender_address": "notices@example.com",
        "reply_to": [],
        "to": [address],
        "cc": [],
        "bcc": [],
        "recipients": [address],
        "subject": f"Mail {number}",
        "text": "Hello Ada",
        "html": "<p>Hello Ada</p>",
        "headers": [("Auto-Submitted", "auto-generated")],
        "tags": {"recipient": f"mentor-{number:03}"},
        "configuration_set": None,
        "charset_doubts": [],
    }
    return Mail(f"0100-{number}", 1_796_000_000 + number, Email(**(fields | changes)), Answer.NORMAL)
