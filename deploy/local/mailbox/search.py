"""Finding mails, newest first, by a piece of text, a recipient or a tag."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.local.ses.mails import Mail

YIELD_EVERY = 1_000  # mails, so that a search in a full mailbox holds no send up for long


@dataclass(frozen=True)
class Query:
    """What is looked for: all of it must fit."""

    text: str = ""
    to: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    limit: int = 50
    offset: int = 0

    @property
    def fits_all(self) -> bool:
        """Return whether nothing is left out."""
        return not (self.text or self.to or self.tags)

    def fits(self, mail: Mail) -> bool:
        """Return whether *mail* is one of those looked for."""
        email = mail.email
        if any(email.tags.get(name) != value for name, value in self.tags.items()):
            return False
        if self.to and all(address.lower() != self.to.lower() for address in email.recipients):
            return False
        return not self.text or self._is_in(mail)

    def _is_in(self, mail: Mail) -> bool:
        email = mail.email
        words = self.text.lower()
        tags = (f"{name}:{value}" for name, value in email.tags.items())
        short = (mail.message_id, email.sender, *email.to, *email.cc, *email.bcc, email.subject, *tags)
        return any(words in piece.lower() for piece in short) or words in (email.text or "").lower()


async def search(mails: list[Mail], query: Query) -> tuple[int, list[Mail]]:
    """Return how many of *mails* fit, and those on the page that *query* asks for."""
    if query.fits_all:
        return len(mails), mails[query.offset : query.offset + query.limit]

    found = []
    for start in range(0, len(mails), YIELD_EVERY):
        found += _fitting(mails[start : start + YIELD_EVERY], query)
        await asyncio.sleep(0)
    return len(found), found[query.offset : query.offset + query.limit]


def _fitting(mails: Iterable[Mail], query: Query) -> list[Mail]:
    return [mail for mail in mails if query.fits(mail)]
