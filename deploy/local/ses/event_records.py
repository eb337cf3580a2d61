"""SES's event records as they lie in a queue: the record of one report, in the envelope of SNS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from deploy.local.ses.mails import rfc3339
from deploy.local.sqs.names import ACCOUNT, REGION, TOPIC_ARN
from schemas.feedback import FeedbackKind

if TYPE_CHECKING:
    from deploy.local.ses.mails import Mail, Report

DESTINATION_ADDED = "Successfully validated SNS topic for Amazon SES event publishing."
"""What SES publishes first, once, when a topic becomes a destination of events."""

_HEADER_BYTES = 10 * 1024  # SES cuts longer ones
_SUBJECT = "Amazon SES Email Event Notification"
_SNS = f"https://sns.{REGION}.amazonaws.com"
_UNSIGNED = "bG9jYWw="  # nothing here has the key of SNS

_NAMES = {
    FeedbackKind.SEND: ("Send", "send"),
    FeedbackKind.DELIVERY: ("Delivery", "delivery"),
    FeedbackKind.DELIVERY_DELAY: ("DeliveryDelay", "deliveryDelay"),
    FeedbackKind.BOUNCE: ("Bounce", "bounce"),
    FeedbackKind.COMPLAINT: ("Complaint", "complaint"),
    FeedbackKind.REJECT: ("Reject", "reject"),
    FeedbackKind.RENDERING_FAILURE: ("Rendering Failure", "failure"),
}


def describe_mail(mail: Mail) -> dict[str, Any]:
    """Return the part of a record that is the same for all reports about *mail*; it has no text of the mail."""
    email = mail.email
    common = {"from": [email.sender], "to": email.to, "cc": email.cc, "bcc": email.bcc, "replyTo": email.reply_to}
    headers, cut = _headers(mail)
    return {
        "timestamp": rfc3339(mail.accepted_at),
        "source": email.sender,
        "sourceArn": f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/{email.sender_address}",
        "sendingAccountId": ACCOUNT,
        "messageId": mail.message_id,
        "destination": email.recipients,
        "headersTruncated": cut,
        "headers": headers,
        "commonHeaders": {name: value for name, value in common.items() if value}
        | {"messageId": mail.message_id, "subject": email.subject},
        "tags": {
            **{name: [value] for name, value in email.tags.items()},
            "ses:operation": ["SendEmail"],
            "ses:configuration-set": [email.configuration_set],
            "ses:source-ip": ["127.0.0.1"],
            "ses:from-domain": [email.sender_address.rpartition("@")[2]],
            "ses:caller-identity": ["local"],
        },
    }


def event_record(about: dict[str, Any], report: Report, *, accepted_at: float) -> str:
    """Return the record of *report* as JSON; *about* is the mail's description."""
    event_type, member = _NAMES[report.outcome.kind]
    details = _WRITE[report.outcome.kind](report, accepted_at)
    return json.dumps({"eventType": event_type, "mail": about, member: details})


def sns_envelope(message: str, now: float) -> str:
    """Return the body of a queue's message as SNS writes it, unless raw delivery is on."""
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": str(uuid4()),
            "TopicArn": TOPIC_ARN,
            "Subject": _SUBJECT,
            "Message": message,
            "Timestamp": rfc3339(now),
            "SignatureVersion": "1",
            "Signature": _UNSIGNED,
            "SigningCertURL": f"{_SNS}/SimpleNotificationService-local.pem",
            "UnsubscribeURL": f"{_SNS}/?Action=Unsubscribe&SubscriptionArn={TOPIC_ARN}:local",
        }
    )


def _headers(mail: Mail) -> tuple[list[dict[str, str]], bool]:
    email = mail.email
    given = [("From", email.sender), ("To", ", ".join(email.to)), ("Subject", email.subject), ("MIME-Version", "1.0")]
    kept: list[dict[str, str]] = []
    left = _HEADER_BYTES
    for name, value in given + email.headers:
        left -= len(name) + len(value.encode(errors="replace"))
        if left < 0:
            return kept, True
        kept.append({"name": name, "value": value})
    return kept, False


def _send(_report: Report, _accepted_at: float) -> dict[str, Any]:
    return {}


def _delivery(report: Report, accepted_at: float) -> dict[str, Any]:
    return {
        "timestamp": rfc3339(report.at),
        "processingTimeMillis": max(0, round((report.at - accepted_at) * 1000)),
        "recipients": report.recipients,
        "smtpResponse": "250 2.6.0 Message received",
        "reportingMTA": "local.smtp-out.amazonses.com",
    }


def _delay(report: Report, accepted_at: float) -> dict[str, Any]:
    return {
        "timestamp": rfc3339(report.at),
        "delayType": report.outcome.type,
        "expirationTime": rfc3339(accepted_at + 14 * 3600),
        "delayedRecipients": [_with_status(report, address) for address in report.recipients],
    }


def _bounce(report: Report, _accepted_at: float) -> dict[str, Any]:
    outcome = report.outcome
    bounce = {
        "feedbackId": report.feedback_id,
        "bounceType": outcome.type,
        "bounceSubType": outcome.subtype,
        "bouncedRecipients": [_with_status(report, address) for address in report.recipients],
        "timestamp": rfc3339(report.at),
    }
    return bounce | ({"reportingMTA": "dns; amazonses.com"} if outcome.status else {})


def _with_status(report: Report, address: str) -> dict[str, str]:
    outcome, recipient = report.outcome, {"emailAddress": address}
    if outcome.kind is FeedbackKind.BOUNCE and outcome.status:
        recipient["action"] = "failed"
    said = {"status": outcome.status, "diagnosticCode": outcome.diagnostic}
    return recipient | {name: value for name, value in said.items() if value}


def _complaint(report: Report, _accepted_at: float) -> dict[str, Any]:
    return {
        "feedbackId": report.feedback_id,
        "complaintSubType": None,
        "complainedRecipients": [{"emailAddress": address} for address in report.recipients],
        "timestamp": rfc3339(report.at),
        "userAgent": "Amazon SES Mailbox Simulator",
        "complaintFeedbackType": report.outcome.type,
        "arrivalDate": rfc3339(report.at),
    }


def _reject(report: Report, _accepted_at: float) -> dict[str, Any]:
    return {"reason": report.outcome.type}


def _failure(report: Report, _accepted_at: float) -> dict[str, Any]:
    return {"errorMessage": report.outcome.diagnostic, "templateName": "local"}


_WRITE = {
    FeedbackKind.SEND: _send,
    FeedbackKind.DELIVERY: _delivery,
    FeedbackKind.DELIVERY_DELAY: _delay,
    FeedbackKind.BOUNCE: _bounce,
    FeedbackKind.COMPLAINT: _complaint,
    FeedbackKind.REJECT: _reject,
    FeedbackKind.RENDERING_FAILURE: _failure,
}
