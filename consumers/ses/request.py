"""What SendEmail is asked: one e-mail to one recipient, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import formataddr, parseaddr
from typing import Any

import orjson

from consumers.ses.email import Email

_CHARSET = "UTF-8"  # SES takes 7-bit ASCII where none is said


@dataclass(frozen=True)
class Sender:
    """
    Whom mail comes from, and where answers to it go; addresses may have names, ``Mentoring <notices@example.com>``.

    Raises:
        ValueError: an address that SES would refuse, and with it every mail.
    """

    from_address: str
    reply_to: Sequence[str] = ()
    configuration_set: str | None = None

    def __post_init__(self) -> None:
        for address in (self.from_address, *self.reply_to):
            _encoded(address)

    @property
    def address(self) -> str:
        """Give the From address without its name."""
        return parseaddr(self.from_address)[1]

    def arguments(self) -> dict[str, Any]:
        """Give SendEmail's arguments that are the same for each mail, names encoded (RFC 2047)."""
        arguments: dict[str, Any] = {"FromEmailAddress": _encoded(self.from_address)}
        if self.reply_to:
            arguments["ReplyToAddresses"] = [_encoded(address) for address in self.reply_to]
        if self.configuration_set:
            arguments["ConfigurationSetName"] = self.configuration_set
        return arguments


def arguments_of(email: Email) -> dict[str, Any]:
    """Give SendEmail's arguments that are *email*'s own."""
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
    Give a request's body; *common* are its sender's arguments.

    Raises:
        orjson.JSONEncodeError: the e-mail is no text, as one with half a surrogate pair.
    """
    return orjson.dumps({**common, **arguments_of(email)})


def _content(data: str) -> dict[str, str]:
    return {"Data": data, "Charset": _CHARSET}


def _encoded(given: str) -> str:
    """Give an address with its name in ASCII; raises ValueError where it is none."""
    name, address = parseaddr(given)
    try:
        parsed = Address(addr_spec=address)
    except (MessageError, ValueError, IndexError):
        parsed = Address()
    if not (given.isprintable() and address.isascii() and parsed.username and "." in parsed.domain):
        raise ValueError(f"{given!r} is not an e-mail address such as Mentoring <notices@example.com>")
    return formataddr((name, address))
