"""Find mails by text, recipient or tag, newest first."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.local.ses.mails import Mail

YIELD_EVERY = 1_000  # mails, so that a search in a full mailbox does not delay sends


@dataclass(frozen=True)
class Query:
    """The conditions of a search; a mail must meet all of them."""

    text: str = ""
    to: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    limit: int = 50
    offset: int = 0

    @property
    def matches_all(self) -> bool:
        """Whether every mail matches."""
        return not (self.text or self.to or self.tags)

    def matches(self, mail: Mail) -> bool:
        """Check whether *mail* meets all conditions."""
        email = mail.email
        if any(email.tags.get(name) != value for name, value in self.tags.items()):
            return False
        if self.to and all(address.lower() != self.to.lower() for address in email.recipients):
            return False
        return not self.text or self._has_text(mail)

    def _has_text(self, mail: Mail) -> bool:
        email = mail.email
        words = self.text.lower()
        tags = (f"{name}:{value}" for name, value in email.tags.items())
        short = (mail.message_id, email.sender, *email.to, *email.cc, *email.bcc, email.subject, *tags)
        return any(words in piece.lower() for piece in short) or words in (email.text or "").lower()


async def search(mails: list[Mail], query: Query) -> tuple[int, list[Mail]]:
    """Return how many of *mails* match, and those on the requested page."""
    if query.matches_all:
        return len(mails), mails[query.offset : query.offset + query.limit]

    matching = []
    for start in range(0, len(mails), YIELD_EVERY):
        matching += _matching(mails[start : start + YIELD_EVERY], query)
        await asyncio.sleep(0)
    return len(matching), matching[query.offset : query.offset + query.limit]


def _matching(mails: Iterable[Mail], query: Query) -> list[Mail]:
    return [mail for mail in mails if query.matches(mail)]
