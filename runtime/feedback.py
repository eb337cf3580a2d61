"""
What became of the e-mails of one dispatch, as callers and operators see it.

The dispatch stays as it is. Its feedback is read and folded when somebody asks, in whatever order it came.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from runtime.kafka.records import Record
from runtime.signing_keys import proof_of
from schemas.dispatch import Dispatch, Recipient, Status
from schemas.feedback import Feedback, most_severe, parse_feedback, recipient_tag
from schemas.signatures import SigningKeys
from schemas.times import format_seconds

UNCONFIRMED = "unconfirmed"
"""The state of an e-mail of which SES reported nothing within the time that the settings allow."""

Shown = dict[str, str]
"""The feedback of one recipient: `state`, `at`, and `detail` if there is one."""

_CLOCKS = timedelta(seconds=2)
"""The append times of two partitions come from the clocks of two brokers."""
_BEFORE_AN_ANSWER = timedelta(minutes=30)
"""Feedback may come before the answer of a send is known: as long as a replica waits for it, and the clocks' skew."""


class FeedbackFold:
    """
    Folds the records of the feedback topic for the recipients of one dispatch whose e-mail SES has, or may have.

    It keeps one report a recipient, however many records there are. A record counts only if one of our keys signed it;
    without keys nobody can tell, and all count. Of an e-mail with a known message id only reports of that one count: an
    earlier attempt whose answer was lost may have left another.
    """

    def __init__(self, dispatch: Dispatch, keys: SigningKeys) -> None:
        self._keys = keys
        self._recipients = {recipient_tag(one.contact_id): one for one in dispatch.recipients if _may_have_any(one)}
        self._reports: dict[str, Feedback] = {}
        self.key = (dispatch.retry_of or dispatch.dispatch_id).encode()
        """The key of the records: a repeated call shows the e-mails of the first one."""
        self.partition = dispatch.origin.partition
        """The partition of the records, as of the dispatch itself."""
        self.since = _since(dispatch, self._recipients.values())
        """No record of it was appended before."""

    @property
    def of_any(self) -> bool:
        """Return whether there can be feedback of any recipient."""
        return bool(self._recipients)

    def take(self, record: Record) -> None:
        """Fold a record; ignore any that is no feedback of these e-mails, or is not proven."""
        report = parse_feedback(record.key, record.value) if record.key == self.key else None
        recipient = None if report is None else self._recipients.get(report.recipient)
        if report is None or recipient is None or recipient.message_id not in (None, report.message_id):
            return
        if not proof_of(record, self._keys).counts:
            return
        known = self._reports.get(report.recipient)
        self._reports[report.recipient] = most_severe([report] if known is None else [known, report]) or report

    def shown(self, now: datetime, *, overdue: timedelta | None) -> dict[str, Shown]:
        """
        Return the feedback by contact id, of those that have any.

        If *overdue* is not None, an e-mail that was sent that long ago and has none is `unconfirmed`.
        """
        found = {one.contact_id: self._shown(tag, one, now, overdue) for tag, one in self._recipients.items()}
        return {contact_id: shown for contact_id, shown in found.items() if shown is not None}

    def _shown(self, tag: str, recipient: Recipient, now: datetime, overdue: timedelta | None) -> Shown | None:
        report = self._reports.get(tag)
        if report is not None:
            detail = {} if report.detail is None else {"detail": report.detail}
            return {"state": report.state.value, "at": format_seconds(report.at), **detail}
        sent_at = recipient.at if recipient.status is Status.SENT else None
        if overdue is None or sent_at is None or now - sent_at < overdue:
            return None
        return {"state": UNCONFIRMED, "at": format_seconds(sent_at)}


def _may_have_any(recipient: Recipient) -> bool:
    return recipient.status in {Status.SENT, Status.UNKNOWN}


def _since(dispatch: Dispatch, recipients: Iterable[Recipient]) -> datetime:
    """Return an instant before all feedback: the event's, or for a repeated call that of the first call's e-mails."""
    began = dispatch.origin.appended_at - _CLOCKS
    if dispatch.retry_of is None:
        return began
    return min([began, *(one.at - _BEFORE_AN_ANSWER for one in recipients if one.at is not None)])
