"""What a message of the queue says, whoever wrote it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumers.feedback.messages import MAX_MESSAGE_BYTES, AllowList, Done, Left, Reports, read_message
from schemas.feedback import Feedback, FeedbackState, address_digest
from schemas.times import parse_instant
from tests.ses_events import (
    ACCOUNT,
    ADDRESS,
    CONFIGURATION_SET,
    DISPATCH_ID,
    LATER,
    SENT_AT,
    TOPIC_ARN,
    bounce,
    event,
    in_event_bridge,
    in_sns,
    raw,
)

NOW = datetime(2026, 3, 26, 9, 0, tzinfo=UTC)
ALLOWED = AllowList(12, CONFIGURATION_SET, ACCOUNT, TOPIC_ARN)
FORMS: tuple[Callable[[Any], str], ...] = (raw, in_sns, in_event_bridge)


def read(body: str) -> Reports | Left | Done:
    """Read a body as the intake does; only an envelope can name its topic."""
    allowed = ALLOWED if '"TopicArn"' in body else replace(ALLOWED, topic_arn=None)
    return read_message(body, allowed, NOW)


def report(body: str) -> Feedback:
    """Return the only report of a body."""
    found = read(body)
    assert isinstance(found, Reports)
    (only,) = found.feedback
    return only


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("Send", FeedbackState.ACCEPTED),
        ("Delivery", FeedbackState.DELIVERED),
        ("DeliveryDelay", FeedbackState.DELAYED),
        ("Bounce", FeedbackState.BOUNCED),
        ("Complaint", FeedbackState.COMPLAINED),
        ("Reject", FeedbackState.REJECTED),
        ("Rendering Failure", FeedbackState.RENDERING_FAILED),
    ],
)
def test_every_event_is_read_in_every_form(form: Callable[[Any], str], kind: str, state: FeedbackState) -> None:
    """SES's events say the same raw, in the envelope of SNS, and in an event of EventBridge."""
    assert state == report(form(event(kind))).state


def test_a_report_has_what_readers_need_and_no_address() -> None:
    """It names dispatch, recipient, e-mail, times and codes; the address is a digest, and no diagnostic is kept."""
    expected = {
        "dispatch_id": DISPATCH_ID,
        "recipient": "mentor-042",
        "message_id": "m-1",
        "at": parse_instant(LATER),
        "sent_at": parse_instant(SENT_AT),
        "type": "Permanent",
        "subtype": "General",
        "status": "5.1.1",
        "address": address_digest("mentor-042", ADDRESS),
    }
    found = report(raw(event("Bounce")))

    assert expected == {name: getattr(found, name) for name in expected}
    assert ADDRESS not in repr(found)


def test_the_partition_is_the_tag() -> None:
    """The record goes where the dispatch is."""
    found = read(raw(event("Send", partition=7)))
    assert isinstance(found, Reports)
    assert 7 == found.partition


def test_each_recipient_of_a_notification_is_reported() -> None:
    """A notification about several recipients becomes several reports."""
    about = [*bounce("a@example.org")["bouncedRecipients"], *bounce("b@example.org")["bouncedRecipients"]]
    found = read(raw(event("Bounce", bounce={**bounce(), "bouncedRecipients": about})))

    assert isinstance(found, Reports)
    assert [address_digest("mentor-042", address) for address in ("a@example.org", "b@example.org")] == [
        one.address for one in found.feedback
    ]


def test_a_bounce_that_names_nobody_is_about_whom_the_mail_was_for() -> None:
    """Nothing is lost if SES leaves the recipients out."""
    found = report(raw(event("Bounce", bounce={**bounce(), "bouncedRecipients": []})))
    assert address_digest("mentor-042", ADDRESS) == found.address


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (bounce(kind="Transient", status=None), FeedbackState.DELIVERED),
        (bounce(kind="Transient", status="4.4.7"), FeedbackState.BOUNCED),
        (bounce(kind="Transient", subtype="MailboxFull", status=None), FeedbackState.BOUNCED),
        (bounce(kind="Permanent", status=None), FeedbackState.BOUNCED),
    ],
)
def test_an_out_of_office_reply_is_no_bounce(content: dict[str, Any], state: FeedbackState) -> None:
    """A general transient bounce without a delivery status notification shows that the e-mail arrived."""
    assert state == report(raw(event("Bounce", bounce=content))).state


def test_a_code_that_is_none_becomes_other() -> None:
    """A text in the place of a code may quote an address, and is not kept."""
    found = report(raw(event("Bounce", bounce=bounce(subtype="<m@example.org> unknown"))))
    assert "other" == found.subtype


@pytest.mark.parametrize("body", ["Successfully validated SNS topic for Amazon SES event publishing."])
@pytest.mark.parametrize("form", [str, in_sns])
def test_the_line_that_validates_a_destination_is_no_poison(form: Callable[[str], str], body: str) -> None:
    """SNS sends one plain line to a new destination."""
    assert Done.VALIDATION is read(form(body))


@pytest.mark.parametrize("kind", ["Open", "Click", "Subscription"])
def test_an_event_that_says_nothing_of_the_delivery_is_done(kind: str) -> None:
    """Clicks are not ours to count."""
    assert Done.NOT_FEEDBACK is read(raw(event(kind)))


@pytest.mark.parametrize("status", ["Enabled", "Disabled"])
def test_a_change_of_the_accounts_sending_is_told(status: str) -> None:
    """EventBridge tells when SES pauses the account."""
    assert Done.SENDING_STATUS is read(in_event_bridge({}, kind=f"Sending Status {status}"))


def _without_tag(name: str) -> str:
    found = event("Send")
    del found["mail"]["tags"][name]
    return raw(found)


def _with_mail(**changes: Any) -> str:
    found = event("Send")
    return raw({**found, "mail": {**found["mail"], **changes}})


def _with_tags(**changes: Any) -> str:
    return _with_mail(tags={**event("Send")["mail"]["tags"], **changes})


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (" " * (MAX_MESSAGE_BYTES + 1), Left.TOO_LARGE),
        ("", Left.UNREADABLE),
        ("hello", Left.UNREADABLE),
        ('{"eventType": "Send"', Left.UNREADABLE),
        ("[" * 100_000, Left.UNREADABLE),
        ('{"a":' * 5000, Left.UNREADABLE),
        ("\ud800", Left.UNREADABLE),
        ("[]", Left.UNREADABLE),
        ('{"Message": 1}', Left.UNREADABLE),
        (raw({"eventType": "Bounce", "mail": event("Bounce")["mail"]}), Left.UNREADABLE),
        ("{}", Left.UNKNOWN_EVENT),
        (raw(event("Teleport")), Left.UNKNOWN_EVENT),
        (raw({"notificationType": "Bounce"}), Left.UNKNOWN_EVENT),
        (in_sns(event("Send"), topic_arn=f"{TOPIC_ARN}-2"), Left.FOREIGN_TOPIC),
        (_with_mail(sendingAccountId="999999999999"), Left.FOREIGN_ACCOUNT),
        (in_event_bridge({}, kind="Sending Status Disabled", account="9" * 12), Left.FOREIGN_ACCOUNT),
        (_with_tags(**{"ses:configuration-set": ["others"]}), Left.FOREIGN_CONFIGURATION_SET),
        (_without_tag("dispatch_id"), Left.UNTAGGED),
        (_without_tag("partition"), Left.UNTAGGED),
        (_with_tags(recipient=[]), Left.UNTAGGED),
        (_with_tags(dispatch_id=["x"]), Left.INVALID_TAGS),
        (_with_tags(recipient=["a@b"]), Left.INVALID_TAGS),
        (_with_tags(partition=["-1"]), Left.INVALID_TAGS),
        (_with_tags(partition=["٣"]), Left.INVALID_TAGS),
        (_with_mail(messageId="a b"), Left.INVALID_TAGS),
        (_with_tags(partition=["12"]), Left.NO_SUCH_PARTITION),
        (_with_mail(destination=["a@example.org"] * 51), Left.TOO_MANY_RECIPIENTS),
    ],
)
def test_what_is_not_ours_or_cannot_be_read_stays_on_the_queue(body: str, left: Left) -> None:
    """Each kind has its name, and none is taken for a report."""
    assert left is read(body)


@pytest.mark.parametrize(
    ("stamp", "at"),
    [
        ("2030-01-01T00:00:00Z", NOW),
        ("2026-03-19T08:30:00Z", NOW - timedelta(days=7, minutes=30)),
        ("yesterday", NOW),
        ("", NOW),
    ],
)
def test_a_time_ahead_or_unreadable_is_now_and_an_old_one_stays(stamp: str, at: datetime) -> None:
    """Times of events are not trusted to lie ahead, and an old one is no reason to refuse a report."""
    assert at == report(_with_mail(timestamp=stamp)).at


@pytest.mark.parametrize("form", [raw, in_event_bridge])
def test_an_event_without_an_envelope_is_foreign_if_a_topic_is_set(form: Callable[[Any], str]) -> None:
    """Nothing in it says which topic it comes from."""
    assert Left.FOREIGN_TOPIC is read_message(form(event("Send")), ALLOWED, NOW)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)
_NAMES = st.sampled_from(["eventType", "mail", "bounce", "delivery", "Message", "detail", "detail-type", "TopicArn"])


@given(st.text(max_size=200))
@example("\ud800")
def test_no_text_raises(body: str) -> None:
    """Any text is read or left."""
    read(body)


@given(st.dictionaries(_NAMES, _JSON))
def test_no_json_raises(content: dict[str, Any]) -> None:
    """Members of any type in the places of ours are read or left."""
    read(json.dumps(content))


@given(st.sampled_from(["Send", "Delivery", "Bounce", "Complaint"]), _NAMES, _JSON)
def test_no_member_of_another_type_raises(kind: str, name: str, content: Any) -> None:
    """An event with one member replaced by anything is read or left."""
    read(in_sns({**event(kind), name: content}))
