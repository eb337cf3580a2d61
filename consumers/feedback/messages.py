"""
Reads a message of the queue of SES's events. Pure: nothing is done here, and no message makes it raise.

A message is SES's record itself, or holds it: in the envelope of SNS, or in an event of EventBridge. Shapes: Amazon
SES Developer Guide, "Contents of event data that Amazon SES publishes to Amazon SNS" and "... to EventBridge".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec
from msgspec import Struct

from schemas.feedback import Feedback, FeedbackKind, address_digest
from schemas.times import parse_instant

MAX_MESSAGE_BYTES = 256 * 1024
MAX_RECIPIENTS = 50
"""As many as one e-mail can have; ours have one."""

_KINDS = {
    "Send": FeedbackKind.SEND,
    "Delivery": FeedbackKind.DELIVERY,
    "DeliveryDelay": FeedbackKind.DELIVERY_DELAY,
    "Bounce": FeedbackKind.BOUNCE,
    "Complaint": FeedbackKind.COMPLAINT,
    "Reject": FeedbackKind.REJECT,
    "Rendering Failure": FeedbackKind.RENDERING_FAILURE,
}
_NOT_OURS_TO_COUNT = frozenset({"Open", "Click", "Subscription"})
_VALIDATION = "Successfully validated SNS topic"
_SENDING_STATUS = re.compile(r"Sending Status (Enabled|Disabled)")
_CODE = re.compile(r"[A-Za-z0-9 ._-]{1,64}")
_DISPATCH_ID = re.compile(r"[0-9a-f]{32}")
_TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")
_MESSAGE_ID = re.compile(r"[\x21-\x7e]{1,256}")
_PARTITION = re.compile(r"[0-9]{1,6}")
_TRACE_PARENT = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_OTHER_CODE = "other"

TRACE_TAG = "traceparent"
"""The tag with the trace context of the send, if tracing is on."""


class Left(StrEnum):
    """Why a message stays on the queue until its redrive policy moves it."""

    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    UNKNOWN_EVENT = "unknown_event"
    FOREIGN_TOPIC = "foreign_topic"
    FOREIGN_ACCOUNT = "foreign_account"
    FOREIGN_CONFIGURATION_SET = "foreign_configuration_set"
    UNTAGGED = "untagged"
    INVALID_TAGS = "invalid_tags"
    NO_SUCH_PARTITION = "no_such_partition"
    TOO_MANY_RECIPIENTS = "too_many_recipients"


class Done(StrEnum):
    """Why a message is deleted without a record."""

    VALIDATION = "validation"
    """The line that SNS sends to a new destination."""
    NOT_FEEDBACK = "not_feedback"
    """An event that says nothing about the delivery, such as a click."""
    SENDING_STATUS = "sending_status"
    """The account's sending was enabled or disabled: the account is read at once."""


@dataclass(frozen=True)
class Reports:
    """What a message says of our e-mail."""

    partition: int
    feedback: tuple[Feedback, ...]
    trace_parent: str | None = None
    """The trace context of the send, if its e-mail has the tag."""


@dataclass(frozen=True)
class AllowList:
    """Whose messages are taken; None allows any."""

    partitions: int
    configuration_set: str | None = None
    account: str | None = None
    topic_arn: str | None = None
    """If it is set, an event needs SNS's envelope, which names its topic."""


class _Foreign(Exception):
    """The message stays on the queue."""

    def __init__(self, left: Left) -> None:
        self.left = left
        super().__init__(left)


class _Mail(Struct, frozen=True):
    messageId: str = ""  # noqa: N815 - SES's names, here and below
    timestamp: str = ""
    sendingAccountId: str = ""  # noqa: N815
    destination: Sequence[str] = ()
    tags: dict[str, Sequence[str]] = msgspec.field(default_factory=dict)


class _Recipient(Struct, frozen=True):
    emailAddress: str = ""  # noqa: N815
    action: str | None = None
    status: str | None = None


class _Bounce(Struct, frozen=True):
    bounceType: str = ""  # noqa: N815
    bounceSubType: str = ""  # noqa: N815
    bouncedRecipients: Sequence[_Recipient] = ()  # noqa: N815
    timestamp: str = ""


class _Complaint(Struct, frozen=True):
    complainedRecipients: Sequence[_Recipient] = ()  # noqa: N815
    complaintFeedbackType: str | None = None  # noqa: N815
    complaintSubType: str | None = None  # noqa: N815
    timestamp: str = ""


class _Delivery(Struct, frozen=True):
    timestamp: str = ""
    recipients: Sequence[str] = ()


class _Delay(Struct, frozen=True):
    timestamp: str = ""
    delayType: str = ""  # noqa: N815
    delayedRecipients: Sequence[_Recipient] = ()  # noqa: N815


class _SesEvent(Struct, frozen=True):
    eventType: str = ""  # noqa: N815
    mail: _Mail = _Mail()
    bounce: _Bounce | None = None
    complaint: _Complaint | None = None
    delivery: _Delivery | None = None
    deliveryDelay: _Delay | None = None  # noqa: N815


class _Outer(Struct, frozen=True):
    """The members by which the three forms are told apart."""

    Message: str | None = None
    TopicArn: str = ""
    detail_type: str = msgspec.field(name="detail-type", default="")
    account: str = ""
    detail: msgspec.Raw = msgspec.Raw()


_OUTER = msgspec.json.Decoder(_Outer)
_SES_EVENT = msgspec.json.Decoder(_SesEvent)


@dataclass(frozen=True)
class _About:
    """A recipient that a report names, and what it says of that one alone."""

    address: str
    status: str | None = None
    automatic_reply: bool = False


def read_message(body: str, allowed: AllowList, now: datetime) -> Reports | Left | Done:
    """Return what a message says, or why it says nothing. A time that lies ahead of *now* is read as *now*."""
    try:
        return _read(body.encode(errors="replace"), allowed, now)
    except _Foreign as foreign:
        return foreign.left
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return Left.UNREADABLE


def _read(body: bytes, allowed: AllowList, now: datetime) -> Reports | Left | Done:
    if len(body) > MAX_MESSAGE_BYTES:
        return Left.TOO_LARGE
    if body.startswith(_VALIDATION.encode()):
        return Done.VALIDATION
    outer = _OUTER.decode(body)
    if outer.Message is not None:
        return _read_notification(outer.Message, outer.TopicArn, allowed, now)
    if not bytes(outer.detail):
        return _read_alone(body, allowed, now)
    if _SENDING_STATUS.fullmatch(outer.detail_type):
        return Done.SENDING_STATUS if allowed.account in {None, outer.account} else Left.FOREIGN_ACCOUNT
    return _read_alone(bytes(outer.detail), allowed, now)


def _read_alone(event: bytes, allowed: AllowList, now: datetime) -> Reports | Left | Done:
    """Read an event without SNS's envelope, which cannot say which topic it comes from."""
    return _read_event(event, allowed, now) if allowed.topic_arn is None else Left.FOREIGN_TOPIC


def _read_notification(message: str, topic_arn: str, allowed: AllowList, now: datetime) -> Reports | Left | Done:
    if allowed.topic_arn not in {None, topic_arn}:
        return Left.FOREIGN_TOPIC
    if message.startswith(_VALIDATION):
        return Done.VALIDATION
    return _read_event(message.encode(errors="replace"), allowed, now)


def _read_event(text: bytes, allowed: AllowList, now: datetime) -> Reports | Left | Done:
    event = _SES_EVENT.decode(text)
    if event.eventType in _NOT_OURS_TO_COUNT:
        return Done.NOT_FEEDBACK
    kind = _KINDS.get(event.eventType)
    if kind is None:
        return Left.UNKNOWN_EVENT
    dispatch_id, recipient, partition = _tags(event.mail, allowed)
    sent_at = _instant(event.mail.timestamp, now, now)
    type_, subtype, at, about = _content(kind, event)
    about = about or [*_about(event.mail.destination)] or [_About("")]
    if len(about) > MAX_RECIPIENTS:
        return Left.TOO_MANY_RECIPIENTS
    return Reports(
        partition,
        tuple(
            Feedback(
                dispatch_id=dispatch_id,
                recipient=recipient,
                message_id=event.mail.messageId,
                kind=kind,
                at=_instant(at, sent_at, now),
                sent_at=sent_at,
                type=_code(type_),
                subtype=_code(subtype),
                status=_code(one.status),
                automatic_reply=one.automatic_reply,
                address=address_digest(recipient, one.address) if one.address else None,
            )
            for one in about
        ),
        _trace_parent(event.mail),
    )


def _tags(mail: _Mail, allowed: AllowList) -> tuple[str, str, int]:
    """Return dispatch id, recipient and partition; raise _Foreign if the e-mail is not one of ours."""
    if allowed.account not in {None, mail.sendingAccountId}:
        raise _Foreign(Left.FOREIGN_ACCOUNT)
    if allowed.configuration_set not in {None, _tag(mail, "ses:configuration-set")}:
        raise _Foreign(Left.FOREIGN_CONFIGURATION_SET)
    dispatch_id, recipient, partition = (_tag(mail, name) for name in ("dispatch_id", "recipient", "partition"))
    if dispatch_id is None or recipient is None or partition is None:
        raise _Foreign(Left.UNTAGGED)
    well_formed = _DISPATCH_ID.fullmatch(dispatch_id) and _TAG.fullmatch(recipient) and _PARTITION.fullmatch(partition)
    if not well_formed or not _MESSAGE_ID.fullmatch(mail.messageId):
        raise _Foreign(Left.INVALID_TAGS)
    if int(partition) >= allowed.partitions:
        raise _Foreign(Left.NO_SUCH_PARTITION)
    return dispatch_id, recipient, int(partition)


def _trace_parent(mail: _Mail) -> str | None:
    text = _tag(mail, TRACE_TAG)
    return text if text is not None and _TRACE_PARENT.fullmatch(text) else None


def _tag(mail: _Mail, name: str) -> str | None:
    return next(iter(mail.tags.get(name, ())), None)


def _content(kind: FeedbackKind, event: _SesEvent) -> tuple[str | None, str | None, str, list[_About]]:
    """Return type, subtype, time and recipients of a report; raise ValueError if its own member is missing."""
    match kind:
        case FeedbackKind.BOUNCE if event.bounce is not None:
            return _bounce(event.bounce)
        case FeedbackKind.COMPLAINT if event.complaint is not None:
            complaint, addresses = event.complaint, _addresses(event.complaint.complainedRecipients)
            feedback_type, subtype = complaint.complaintFeedbackType, complaint.complaintSubType
            return feedback_type, subtype, complaint.timestamp, list(_about(addresses))
        case FeedbackKind.DELIVERY if event.delivery is not None:
            return None, None, event.delivery.timestamp, list(_about(event.delivery.recipients))
        case FeedbackKind.DELIVERY_DELAY if event.deliveryDelay is not None:
            delay, addresses = event.deliveryDelay, _addresses(event.deliveryDelay.delayedRecipients)
            return delay.delayType or None, None, delay.timestamp, list(_about(addresses))
        case FeedbackKind.SEND | FeedbackKind.REJECT | FeedbackKind.RENDERING_FAILURE:
            return None, None, "", list(_about(event.mail.destination))
    raise ValueError(f"a {kind} without its own member")


def _bounce(bounce: _Bounce) -> tuple[str | None, str | None, str, list[_About]]:
    general = (bounce.bounceType, bounce.bounceSubType) == ("Transient", "General")
    about = [
        # An out-of-office reply comes without a delivery status notification, so without action and status.
        _About(one.emailAddress, one.status, automatic_reply=general and one.status is None and one.action is None)
        for one in bounce.bouncedRecipients
    ]
    return bounce.bounceType, bounce.bounceSubType, bounce.timestamp, about


def _addresses(recipients: Iterable[_Recipient]) -> Iterator[str]:
    return (recipient.emailAddress for recipient in recipients)


def _about(addresses: Iterable[str]) -> Iterator[_About]:
    return (_About(address) for address in addresses)


def _code(text: str | None) -> str | None:
    """Return one of SES's codes; a text that is none becomes `other`, since it may quote anything."""
    if not text:
        return None
    return text if _CODE.fullmatch(text) else _OTHER_CODE


def _instant(text: str, otherwise: datetime, now: datetime) -> datetime:
    try:
        return min(parse_instant(text), now)
    except ValueError:
        return otherwise
