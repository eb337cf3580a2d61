"""SES's events as its developer guide shows them, and the envelopes in which they reach a queue."""

from __future__ import annotations

import json
from typing import Any

ACCOUNT = "123456789012"
TOPIC_ARN = "arn:aws:sns:eu-central-1:123456789012:ses-events"
CONFIGURATION_SET = "notices"
DISPATCH_ID = "0123456789abcdef0123456789abcdef"
SENT_AT = "2026-03-26T08:30:00.000Z"
LATER = "2026-03-26T08:30:04.000Z"
ADDRESS = "m@example.org"


def event(
    kind: str,
    *,
    message_id: str = "m-1",
    dispatch_id: str = DISPATCH_ID,
    recipient: str = "mentor-042",
    partition: int | str = 3,
    address: str = ADDRESS,
    **more: Any,
) -> dict[str, Any]:
    """Return one event of SES; *more* replaces its own member, such as `bounce`."""
    mail = {
        "timestamp": SENT_AT,
        "messageId": message_id,
        "source": "no-reply@example.org",
        "sendingAccountId": ACCOUNT,
        "destination": [address],
        "headersTruncated": False,
        "headers": [{"name": "To", "value": address}],
        "commonHeaders": {"to": [address]},
        "tags": {
            "ses:configuration-set": [CONFIGURATION_SET],
            "dispatch_id": [dispatch_id],
            "recipient": [recipient],
            "partition": [str(partition)],
        },
    }
    return {"eventType": kind, "mail": mail, **_content(kind, address), **more}


def _content(kind: str, address: str) -> dict[str, Any]:
    about = [{"emailAddress": address}]
    contents: dict[str, dict[str, Any]] = {
        "Delivery": {"delivery": {"timestamp": LATER, "processingTimeMillis": 4000, "recipients": [address]}},
        "DeliveryDelay": {
            "deliveryDelay": {"timestamp": LATER, "delayType": "MailboxFull", "delayedRecipients": about}
        },
        "Bounce": {"bounce": bounce(address)},
        "Complaint": {
            "complaint": {"timestamp": LATER, "complainedRecipients": about, "complaintFeedbackType": "abuse"}
        },
        "Reject": {"reject": {"reason": "Bad content"}},
        "Rendering Failure": {"failure": {"errorMessage": "Attribute is missing", "templateName": "t"}},
    }
    return contents.get(kind, {"send": {}})


def bounce(
    address: str = ADDRESS, kind: str = "Permanent", subtype: str = "General", status: str | None = "5.1.1"
) -> dict[str, Any]:
    """Return the member of a bounce; without a *status* there is no delivery status notification."""
    notification = {"action": "failed", "status": status, "diagnosticCode": f"smtp; 550 <{address}> unknown"}
    about = {"emailAddress": address, **({} if status is None else notification)}
    return {
        "bounceType": kind,
        "bounceSubType": subtype,
        "bouncedRecipients": [about],
        "timestamp": LATER,
        "feedbackId": "f-1",
    }


def raw(message: Any) -> str:
    """Return the body that raw delivery puts on a queue."""
    return json.dumps(message)


def in_sns(message: Any, *, topic_arn: str = TOPIC_ARN) -> str:
    """Return the body that SNS puts on a queue without raw delivery."""
    text = message if isinstance(message, str) else json.dumps(message)
    envelope = {"Type": "Notification", "MessageId": "n-1", "TopicArn": topic_arn, "Message": text}
    return json.dumps({**envelope, "Timestamp": LATER, "SignatureVersion": "1"})


def in_event_bridge(detail: Any, *, kind: str = "Email Bounced", account: str = ACCOUNT) -> str:
    """Return the body that EventBridge puts on a queue."""
    return json.dumps(
        {
            "version": "0",
            "id": "e-1",
            "detail-type": kind,
            "source": "aws.ses",
            "account": account,
            "time": LATER,
            "region": "eu-central-1",
            "resources": [],
            "detail": detail,
        }
    )
