"""The request of SendEmail: one e-mail to one recipient, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from consumers.email import Email
from runtime.from_address import parse_named_address

_CHARSET = "UTF-8"  # without it SES assumes 7-bit ASCII


@dataclass(frozen=True)
class SenderIdentity:
    """
    Who e-mails come from, and where replies go unless an e-mail says so.

    Addresses may have names: `Mentoring <notices@example.com>`.

    Raises:
        ValueError: an address is invalid. SES would refuse every e-mail.
    """

    from_address: str
    reply_to: Sequence[str] = ()
    configuration_set: str | None = None

    def __post_init__(self) -> None:
        for address in (self.from_address, *self.reply_to):
            parse_named_address(address)

    @property
    def address(self) -> str:
        """Return the From address without its name."""
        return parse_named_address(self.from_address).address

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of SendEmail that all e-mails share, with names encoded (RFC 2047)."""
        arguments: dict[str, Any] = {"FromEmailAddress": parse_named_address(self.from_address).header}
        if self.reply_to:
            arguments["ReplyToAddresses"] = [parse_named_address(address).header for address in self.reply_to]
        if self.configuration_set:
            arguments["ConfigurationSetName"] = self.configuration_set
        return arguments


def arguments_of(email: Email) -> dict[str, Any]:
    """Return the arguments of SendEmail that differ for each *email*; they win over those of its sender."""
    arguments: dict[str, Any] = {
        "Destination": {"ToAddresses": [email.to]},
        "Content": {
            "Simple": {
                "Subject": _content(email.subject),
                "Body": {"Text": _content(email.text), "Html": _content(email.html)},
                "Headers": _pairs(email.headers),
            }
        },
        "EmailTags": _pairs(email.tags),
    }
    if email.reply_to is not None:
        arguments["ReplyToAddresses"] = [email.reply_to]
    return arguments


def body_of(common: dict[str, Any], email: Email) -> bytes:
    """
    Return the body of a request; *common* are the arguments of its sender.

    Raises:
        orjson.JSONEncodeError: the e-mail contains something that is no text, such as half a surrogate pair.
    """
    return orjson.dumps({**common, **arguments_of(email)})


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in values.items()]


def _content(data: str) -> dict[str, str]:
    return {"Data": data, "Charset": _CHARSET}
