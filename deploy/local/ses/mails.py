"""A requested e-mail, an accepted mail, and the bounded store of accepted mails."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from deploy.local.ses.outcomes import Outcome
from schemas.feedback import FeedbackState

if TYPE_CHECKING:
    from deploy.local.ses.mail_file import MailFile

MAX_REPORTS = 20  # that a mail keeps; all fates together have nine
RECORD_OVERHEAD = 1_000  # assumed characters of addresses, headers, tags and reports


class Answer(StrEnum):
    """What happens to the answer of a send."""

    NORMAL = "normal"
    DROPPED = "dropped"
    HUNG = "hung"


@dataclass(slots=True)
class Email:
    """An e-mail that a caller asks SES to send; only *recipients* has addresses without names."""

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


@dataclass(frozen=True, slots=True)
class Report:
    """What SES reports about some of an e-mail's recipients; the time is in seconds since the epoch."""

    outcome: Outcome
    at: float
    recipients: list[str]
    feedback_id: str

    def summary(self) -> dict[str, Any]:
        """Return it for JSON."""
        outcome = self.outcome
        return {
            "state": outcome.state,
            "kind": outcome.kind,
            "detail": outcome.detail,
            "at": rfc3339(self.at),
            "recipients": self.recipients,
        }


@dataclass(slots=True)
class Mail:
    """An accepted e-mail; the time is in seconds since the epoch."""

    message_id: str
    accepted_at: float
    email: Email
    answer: Answer
    reports: list[Report] = field(default_factory=list)
    read: bool = False

    @property
    def state(self) -> FeedbackState:
        """Return what became of it: the most severe report counts."""
        states = (report.outcome.state for report in self.reports)
        return max(states, key=lambda state: state.severity, default=FeedbackState.ACCEPTED)

    def summary(self) -> dict[str, Any]:
        """Return everything except the body, for JSON."""
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
            "state": self.state,
            "read": self.read,
        }

    def full(self) -> dict[str, Any]:
        """Return everything, for JSON."""
        reports = [report.summary() for report in self.reports]
        return self.summary() | {"text": self.email.text, "html": self.email.html, "reports": reports}

    @property
    def size(self) -> int:
        """The approximate number of characters that it takes in memory."""
        email = self.email
        return RECORD_OVERHEAD + len(email.subject) + len(email.text or "") + len(email.html or "")


def rfc3339(seconds: float) -> str:
    """Return seconds since the epoch as UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Mailbox:
    """The newest accepted mails: at most *keep* of them, and at most *keep_characters* in all; *file* has a copy."""

    def __init__(self, *, keep: int, keep_characters: int, file: MailFile | None = None) -> None:
        self._keep = keep
        self._keep_characters = keep_characters
        self._file = file
        self._mails: OrderedDict[str, Mail] = OrderedDict()  # a plain dict gets slow when its oldest keys are removed
        self._characters = 0
        self.version = time.time_ns()  # changes with every change, and is another after a restart
        if file is not None:
            for mail in file.open(newest=keep):
                self._hold(mail)

    def __len__(self) -> int:
        return len(self._mails)

    @property
    def unread(self) -> int:
        """Return how many mails nobody has read."""
        return sum(not mail.read for mail in self._mails.values())

    @property
    def fault(self) -> str | None:
        """Return why mails will not survive a restart."""
        return None if self._file is None else self._file.fault

    def add(self, mail: Mail) -> None:
        """Add *mail*, and remove the oldest ones if there is no room; the newest always stays."""
        self._hold(mail)
        self._save(mail)

    def _hold(self, mail: Mail) -> None:
        self._mails[mail.message_id] = mail
        self._characters += mail.size
        while len(self._mails) > 1 and self._is_over_full():
            self.remove(next(iter(self._mails)))

    def _is_over_full(self) -> bool:
        return len(self._mails) > self._keep or self._characters > self._keep_characters

    def _save(self, mail: Mail) -> None:
        self.version += 1
        if self._file is not None:
            self._file.put(mail)

    def add_report(self, message_id: str, report: Report) -> None:
        """Add a report to a mail, if the mail is still kept and has room for it."""
        mail = self.get(message_id)
        if mail is not None and len(mail.reports) < MAX_REPORTS:
            mail.reports.append(report)
            self._save(mail)

    def mark(self, mail: Mail, *, read: bool) -> None:
        """Mark a mail as read or unread."""
        mail.read = read
        self._save(mail)

    def get(self, message_id: str) -> Mail | None:
        """Return the mail with that id, if it is still kept."""
        return self._mails.get(message_id)

    def newest_first(self) -> list[Mail]:
        """Return all kept mails."""
        return list(reversed(self._mails.values()))

    def remove(self, message_id: str) -> None:
        """Remove a mail that is kept."""
        self.version += 1
        self._characters -= self._mails.pop(message_id).size
        if self._file is not None:
            self._file.remove(message_id)

    def clear(self) -> None:
        """Remove all mails."""
        self.version += 1
        self._mails.clear()
        self._characters = 0
        if self._file is not None:
            self._file.clear()

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()
