"""
An e-mail, the interface to a provider, and every outcome of a send.

The errors are named after what to do about them:

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

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from schemas.dispatch import Reason


@dataclass(frozen=True)
class Email:
    """A notice to one contact. The sender adds who it comes from, and where replies go unless the e-mail says so."""

    to: str
    subject: str
    text: str
    html: str
    tags: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names and values in printable ASCII, beside the headers that SES writes itself."""
    reply_to: str | None = None
    """The address that gets the replies to this e-mail; None if that of all e-mails does."""


class EmailSender(Protocol):
    """Hands e-mails to a provider."""

    async def send(self, email: Email) -> str:
        """
        Hand *email* to the provider and return its message id.

        Run it in a task that nobody cancels: to cancel it may cut the call off, and its outcome is lost.

        Raises:
            EmailError: and nothing else.
        """


class HaltReason(StrEnum):
    """Why no e-mail can be sent now."""

    ACCOUNT_SUSPENDED = "account_suspended"
    SENDING_PAUSED = "sending_paused"
    SENDER_NOT_VERIFIED = "sender_not_verified"
    CREDENTIALS = "credentials"
    CONFIGURATION_SET_MISSING = "configuration_set_missing"
    DAILY_QUOTA = "daily_quota"
    LIMIT_EXCEEDED = "limit_exceeded"
    MISCONFIGURED = "misconfigured"


class EmailError(Exception):
    """A send without a message id. The text contains no address, name or body, and may be logged."""


class NotSent(EmailError):
    """Certainly not accepted: try again. *unreachable* if SES was not reached or answered 5xx."""

    def __init__(self, detail: str, *, unreachable: bool = False) -> None:
        self.unreachable = unreachable
        super().__init__(detail)


class Throttled(NotSent):
    """Certainly not accepted, since sending is too fast: slow down and try again."""


class Refused(EmailError):
    """This e-mail will never be accepted; others will."""

    def __init__(self, detail: str, *, reason: Reason) -> None:
        self.reason = reason
        super().__init__(detail)


class Halted(EmailError):
    """Certainly not accepted, and neither is any other e-mail now."""

    def __init__(self, detail: str, *, halt: HaltReason) -> None:
        self.halt = halt
        super().__init__(detail)


class AnswerLost(EmailError):
    """SES may have the e-mail or not."""
