"""
An e-mail, what hands it to a provider, and all that may come of it.

The errors are named by what to do:

    EmailError
      NotSent         not accepted; try again          connect errors, 5xx (those two: unreachable), an unknown 4xx
        Throttled     ... and slow down                the sending rate was exceeded
      Refused         this message never               its content, its form, a recipient who is not verified (the
                                                       sandbox) or not allowed (IAM)
      Halted          no message now                   account suspended or paused, daily quota, our own sender
                                                       unverified, credentials, missing configuration set
      AnswerLost      SES may have it                  read time-out, connection dropped after the request
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from schemas.dispatch import Reason

_TAG_VALUE = re.compile(r"[A-Za-z0-9_-]{1,256}")


@dataclass(frozen=True)
class Email:
    """A notice made out to one contact; whom it comes from belongs to the sender."""

    to: str
    subject: str
    text: str
    html: str
    tags: Mapping[str, str]


class EmailSender(Protocol):
    """What takes e-mails."""

    async def send(self, email: Email) -> str:
        """
        Hand *email* to the provider and give its message id.

        Raises:
            EmailError: and nothing else.
        """


class HaltReason(StrEnum):
    """Why no message can be sent now."""

    ACCOUNT_SUSPENDED = "account_suspended"
    SENDING_PAUSED = "sending_paused"
    SENDER_NOT_VERIFIED = "sender_not_verified"
    CREDENTIALS = "credentials"
    CONFIGURATION_SET_MISSING = "configuration_set_missing"
    DAILY_QUOTA = "daily_quota"
    LIMIT_EXCEEDED = "limit_exceeded"
    MISCONFIGURED = "misconfigured"


class EmailError(Exception):
    """A send did not end with a message id; its text holds no address, name or body, and may be logged."""


class NotSent(EmailError):
    """Surely not accepted: try again. *unreachable* where SES was not reached, or answered 5xx."""

    def __init__(self, detail: str, *, unreachable: bool = False) -> None:
        self.unreachable = unreachable
        super().__init__(detail)


class Throttled(NotSent):
    """Surely not accepted, since sending is too fast: slow down and try again."""


class Refused(EmailError):
    """This message is never accepted; others are."""

    def __init__(self, detail: str, *, reason: Reason) -> None:
        self.reason = reason
        super().__init__(detail)


class Halted(EmailError):
    """Surely not accepted, and nor is any other message now."""

    def __init__(self, detail: str, *, halt: HaltReason) -> None:
        self.halt = halt
        super().__init__(detail)


class AnswerLost(EmailError):
    """SES may have the message, or not."""


def recipient_tag(contact_id: str) -> str:
    """Return the value of a contact's tag: the id where SES's alphabet for tags has room for it, else its hash."""
    if _TAG_VALUE.fullmatch(contact_id):
        return contact_id
    return f"sha256-{hashlib.sha256(contact_id.encode()).hexdigest()}"
