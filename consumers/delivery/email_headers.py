"""The headers that mail programs act on: a notice was sent automatically, and which notices are one conversation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import quote

from schemas.events import EVENTS_BY_TYPE, Event, NoticeUndelivered

_AUTOMATIC = {
    "Auto-Submitted": "auto-generated",  # RFC 3834: no automatic reply, please
    # Exchange's word for it. NDR is left out, since a message that came back must be reported.
    "X-Auto-Response-Suppress": "DR, RN, NRN, OOF, AutoReply",
}


@dataclass(frozen=True)
class EmailHeaders:
    """Makes the headers of notices."""

    domain: str
    """The sender's domain, in which the references are made."""
    unsubscribe_address: str | None = None
    """Who takes requests for no more e-mail; None if nobody does."""

    def of(self, event: Event) -> dict[str, str]:
        """
        Return the headers of an e-mail about *event*.

        SES gives each e-mail a Message-ID of its own. So all notices of a conversation answer to one that no e-mail
        has, and mail programs show them together.
        """
        reference = f"<{_conversation(event)}@{self.domain}>"
        headers = {**_AUTOMATIC, "In-Reply-To": reference, "References": reference}
        if self.unsubscribe_address is not None:
            headers["List-Unsubscribe"] = f"<mailto:{quote(self.unsubscribe_address, safe='@')}?subject=unsubscribe>"
        return headers


def _conversation(event: Event) -> str:
    """
    Return what names a mentor's pauses, or certifications.

    An event names no pause, so those of one mentor share their conversation. An escalation belongs to the notice that
    did not arrive.
    """
    about = EVENTS_BY_TYPE.get(event.data.notice) if isinstance(event.data, NoticeUndelivered) else None
    topic = (about or event.kind).topic
    return hashlib.sha256(f"{topic}\0{event.mentor_id}".encode()).hexdigest()[:32]
