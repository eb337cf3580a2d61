"""Find mails by text, name, recipient or tag, newest first; case and accents do not matter."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.local.mailbox.people import People
    from deploy.local.ses.mails import Mail

YIELD_EVERY = 500  # mails, so that a search in a full mailbox does not delay sends

_MARKS = re.compile("[\u0300-\u036f]+")
# Unicode does not take these apart.
_LETTERS = {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "\N{LATIN SMALL LETTER DOTLESS I}": "i", "æ": "ae", "œ": "oe"}


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

    def matches(self, mail: Mail, people: People) -> bool:
        """Check whether *mail* meets all conditions."""
        email = mail.email
        if any(email.tags.get(name) != value for name, value in self.tags.items()):
            return False
        if self.to and all(address.lower() != self.to.lower() for address in email.recipients):
            return False
        return not self.text or self._has_text(mail, people)

    def _has_text(self, mail: Mail, people: People) -> bool:
        email = mail.email
        words = fold(self.text)
        tags = (f"{name}:{value}" for name, value in email.tags.items())
        addresses = (email.sender, *email.to, *email.cc, *email.bcc)
        short = (mail.message_id, *addresses, *people.names(email), email.subject, *tags)
        return any(words in fold(piece) for piece in short) or words in fold(email.text or "")


def fold(text: str) -> str:
    """Return *text* without case and accents, so that `unal` finds `Ünal`."""
    if text.isascii():  # most texts, in a tenth of the time
        return text.lower()
    folded = _MARKS.sub("", unicodedata.normalize("NFKD", text).casefold())
    for letter, plain in _LETTERS.items():  # six times as fast as str.translate
        folded = folded.replace(letter, plain)
    return folded


async def search(mails: list[Mail], query: Query, people: People) -> tuple[int, list[Mail]]:
    """Return how many of *mails* match, and those on the requested page."""
    if query.matches_all:
        return len(mails), mails[query.offset : query.offset + query.limit]

    matching = []
    for start in range(0, len(mails), YIELD_EVERY):
        matching += _matching(mails[start : start + YIELD_EVERY], query, people)
        await asyncio.sleep(0)
    return len(matching), matching[query.offset : query.offset + query.limit]


def _matching(mails: Iterable[Mail], query: Query, people: People) -> list[Mail]:
    return [mail for mail in mails if query.matches(mail, people)]
