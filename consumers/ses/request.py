"""What SendEmail is asked: one e-mail to one recipient, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from consumers.email import Email
from runtime.from_address import parse_named_address

_CHARSET = "UTF-8"  # SES takes 7-bit ASCII where none is said


@dataclass(frozen=True)
class Sender:
    """
    Whom mail comes from, and where answers to it go; addresses may have names, ``Mentoring <notices@example.com>``.

    Raises:
        ValueError: an address that the settings refuse as well: SES would refuse every mail.
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
        """Return SendEmail's arguments that are the same for each mail, names encoded (RFC 2047)."""
        arguments: dict[str, Any] = {"FromEmailAddress": parse_named_address(self.from_address).header}
        if self.reply_to:
            arguments["ReplyToAddresses"] = [parse_named_address(address).header for address in self.reply_to]
        if self.configuration_set:
            arguments["ConfigurationSetName"] = self.configuration_set
        return arguments


def arguments_of(email: Email) -> dict[str, Any]:
    """Return SendEmail's arguments that are *email*'s own."""
    return {
        "Destination": {"ToAddresses": [email.to]},
        "Content": {
            "Simple": {
                "Subject": _content(email.subject),
                "Body": {"Text": _content(email.text), "Html": _content(email.html)},
            }
        },
        "EmailTags": [{"Name": name, "Value": value} for name, value in email.tags.items()],
    }


def body_of(common: dict[str, Any], email: Email) -> bytes:
    """
    Return a request's body; *common* are its sender's arguments.

    Raises:
        orjson.JSONEncodeError: the e-mail is no text, as one with half a surrogate pair.
    """
    return orjson.dumps({**common, **arguments_of(email)})


def _content(data: str) -> dict[str, str]:
    return {"Data": data, "Charset": _CHARSET}
