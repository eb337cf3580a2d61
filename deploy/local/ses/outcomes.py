"""What SES reports of an accepted e-mail, and which addresses lead to which reports."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.feedback import PERMANENT, FeedbackKind, FeedbackState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_GUIDE = "see the Amazon SES Developer Guide at https://docs.aws.amazon.com/ses/latest/dg/sending-email-suppression-list.html"


@dataclass(frozen=True)
class Outcome:
    """One report of SES: its kind, the state that it leaves an e-mail in, and SES's words for it."""

    kind: FeedbackKind
    state: FeedbackState
    type: str | None = None
    subtype: str | None = None
    status: str | None = None
    diagnostic: str | None = None
    suppresses: str | None = None
    """The reason for which SES adds an ordinary address to the account's suppression list."""

    @property
    def detail(self) -> str | None:
        """Return type and subtype as one text, such as `Permanent/General`."""
        return "/".join(part for part in (self.type, self.subtype) if part) or None


def _bounce(bounce_type: str, subtype: str, status: str, diagnostic: str, *, suppresses: str | None = None) -> Outcome:
    kind, state = FeedbackKind.BOUNCE, FeedbackState.BOUNCED
    return Outcome(kind, state, bounce_type, subtype, status, diagnostic, suppresses)


SEND = Outcome(FeedbackKind.SEND, FeedbackState.ACCEPTED)
DELIVERY = Outcome(FeedbackKind.DELIVERY, FeedbackState.DELIVERED)
DELAY = Outcome(
    FeedbackKind.DELIVERY_DELAY,
    FeedbackState.DELAYED,
    "TransientCommunicationFailure",
    status="4.4.1",
    diagnostic="smtp; 421 4.4.1 Unable to connect to remote host",
)
BOUNCE = _bounce(PERMANENT, "General", "5.1.1", "smtp; 550 5.1.1 user unknown", suppresses="BOUNCE")
SOFT_BOUNCE = _bounce("Transient", "MailboxFull", "5.2.2", "smtp; 552 5.2.2 mailbox full")
OUT_OF_OFFICE = Outcome(FeedbackKind.BOUNCE, FeedbackState.DELIVERED, "Transient", "General")
GLOBALLY_SUPPRESSED = _bounce(
    PERMANENT,
    "Suppressed",
    "5.1.1",
    "Amazon SES has suppressed sending to this address because it has a recent history of bouncing as an invalid "
    f"address. For more information about how to remove an address from the suppression list, {_GUIDE}",
)
SUPPRESSED = _bounce(
    PERMANENT,
    "OnAccountSuppressionList",
    "5.1.1",
    "Amazon SES did not send the message to this address because it is on the suppression list for your account. "
    f"For more information about removing addresses from the suppression list, {_GUIDE}",
)
COMPLAINT = Outcome(FeedbackKind.COMPLAINT, FeedbackState.COMPLAINED, "abuse", suppresses="COMPLAINT")
REJECT = Outcome(FeedbackKind.REJECT, FeedbackState.REJECTED, "Bad content")
RENDERING_FAILURE = Outcome(
    FeedbackKind.RENDERING_FAILURE,
    FeedbackState.RENDERING_FAILED,
    diagnostic="Attribute 'name' is not present in the rendering data.",
)

BY_NAME = {
    "send": SEND,
    "delivery": DELIVERY,
    "delay": DELAY,
    "bounce": BOUNCE,
    "soft_bounce": SOFT_BOUNCE,
    "out_of_office": OUT_OF_OFFICE,
    "globally_suppressed": GLOBALLY_SUPPRESSED,
    "suppressed": SUPPRESSED,
    "complaint": COMPLAINT,
    "reject": REJECT,
    "rendering_failure": RENDERING_FAILURE,
}
"""The reports that can be asked for."""

# Those of SES's mailbox simulator, and `softbounce`: SES has no name for a mailbox that is full.
_SIMULATED = {
    "success": (DELIVERY,),
    "bounce": (BOUNCE,),
    "softbounce": (SOFT_BOUNCE,),
    "complaint": (DELIVERY, COMPLAINT),
    "ooto": (DELIVERY, OUT_OF_OFFICE),
    "suppressionlist": (GLOBALLY_SUPPRESSED,),
}


def is_simulated(address: str) -> bool:
    """Return whether an address has one of the simulator's names, with or without a label, at any domain."""
    return _name(address) in _SIMULATED


def fates(addresses: Iterable[str], *, suppressed: Callable[[str], bool]) -> dict[tuple[Outcome, ...], list[str]]:
    """Return what becomes of the copies of an e-mail, and of which: a report covers all copies that fare alike."""
    found: dict[tuple[Outcome, ...], list[str]] = defaultdict(list)
    for address in addresses:
        found[(SUPPRESSED,) if suppressed(address) else _SIMULATED.get(_name(address), (DELIVERY,))].append(address)
    return dict(found)


def _name(address: str) -> str:
    return address.rpartition("@")[0].partition("+")[0].lower()
