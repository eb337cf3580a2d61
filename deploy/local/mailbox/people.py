"""Who is behind an address: the name that a mail itself has for it, or the name of a contact."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from runtime.from_address import NamedAddress, parse_named_address

if TYPE_CHECKING:
    from deploy.local.ses.mails import Email


class People:
    """Find the names of the addresses of mails; *names* has those of contacts by address."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = {address.lower(): name for address, name in names.items()}

    def of(self, email: Email) -> dict[str, list[dict[str, str]]]:
        """Return the names and addresses of a mail by field, for JSON."""
        fields = {
            "from": [email.sender],
            "reply_to": email.reply_to,
            "to": email.to,
            "cc": email.cc,
            "bcc": email.bcc,
        }
        return {field: [self._person(text) for text in texts] for field, texts in fields.items()}

    def names(self, email: Email) -> list[str]:
        """Return all names of a mail."""
        return [person["name"] for people in self.of(email).values() for person in people if person["name"]]

    def _person(self, text: str) -> dict[str, str]:
        parsed = _parse(text)
        return {"name": parsed.name or self._names.get(parsed.address.lower(), ""), "address": parsed.address}


@lru_cache(maxsize=10_000)
def _parse(text: str) -> NamedAddress:
    try:
        return parse_named_address(text)
    except ValueError:  # SES takes more than we do, such as a control character in an encoded name
        return NamedAddress("", text)
