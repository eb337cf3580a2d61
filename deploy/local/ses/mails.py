"""A mail as it was asked for, as it was accepted, and the bounded store of those accepted."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

RECORD_OVERHEAD = 1_000  # characters that addresses, headers and tags are taken to need


class Answer(StrEnum):
    """What became of the answer to the call that brought a mail."""

    NORMAL = "normal"
    DROPPED = "dropped"
    HUNG = "hung"


@dataclass(slots=True)
class Email:
    """What a caller asks SES to send; addresses are bare in *recipients*, else as given."""

    sender: str
    sender_address: str
    reply_to: list[str]
    to: list[str]
    cc: list[str]
    bcc: list[str]
    recipients: list[str]
    subject: str
    text: str | None
    html: str | None
    headers: list[tuple[str, str]]
    tags: dict[str, str]
    configuration_set: str | None
    charset_doubts: list[str]


@dataclass(slots=True)
class Mail:
    """An e-mail that the local SES has accepted; the time is in seconds since the epoch."""

    message_id: str
    accepted_at: float
    email: Email
    answer: Answer

    def summary(self) -> dict[str, Any]:
        """Return all but the body, as JSON would have it."""
        email = self.email
        return {
            "message_id": self.message_id,
            "accepted_at": rfc3339(self.accepted_at),
            "from": email.sender,
            "reply_to": email.reply_to,
            "to": email.to,
            "cc": email.cc,
            "bcc": email.bcc,
            "subject": email.subject,
            "headers": [{"name": name, "value": value} for name, value in email.headers],
            "tags": email.tags,
            "configuration_set": email.configuration_set,
            "charset_doubts": email.charset_doubts,
            "answer": self.answer,
            "answer_lost": self.answer is not Answer.NORMAL,
        }

    def full(self) -> dict[str, Any]:
        """Return everything, as JSON would have it."""
        return self.summary() | {"text": self.email.text, "html": self.email.html}

    @property
    def size(self) -> int:
        """Return the characters that keeping it takes, about."""
        email = self.email
        return RECORD_OVERHEAD + len(email.subject) + len(email.text or "") + len(email.html or "")


def rfc3339(seconds: float) -> str:
    """Return seconds since the epoch as UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Mailbox:
    """The newest accepted mails: at most *keep* of them, and at most *keep_characters* in all."""

    def __init__(self, *, keep: int, keep_characters: int) -> None:
        self._keep = keep
        self._keep_characters = keep_characters
        self._mails: OrderedDict[str, Mail] = OrderedDict()  # a dict grows slow when its oldest keys are taken out
        self._characters = 0

    def __len__(self) -> int:
        return len(self._mails)

    def add(self, mail: Mail) -> None:
        """Keep *mail*, and let the oldest go where there is no room; the newest always stays."""
        self._mails[mail.message_id] = mail
        self._characters += mail.size
        while len(self._mails) > 1 and self._is_over_full():
            self._characters -= self._mails.popitem(last=False)[1].size

    def _is_over_full(self) -> bool:
        return len(self._mails) > self._keep or self._characters > self._keep_characters

    def get(self, message_id: str) -> Mail | None:
        """Return the mail of that id, where it is still kept."""
        return self._mails.get(message_id)

    def newest_first(self) -> list[Mail]:
        """Return all that are kept."""
        return list(reversed(self._mails.values()))

    def clear(self) -> None:
        """Forget all of them."""
        self._mails.clear()
        self._characters = 0
