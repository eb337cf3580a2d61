"""A mail as the file that mail programs open: the MIME message that SES makes of a request."""

from __future__ import annotations

from email.charset import QP, Charset
from email.header import Header
from email.message import Message
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.policy import compat32
from email.utils import formatdate
from hashlib import sha256
from typing import TYPE_CHECKING

from deploy.local.sqs.names import REGION

if TYPE_CHECKING:
    from deploy.local.ses.mails import Email, Mail

# The newer policies would parse the fields of a request, which are ASCII already. Lines are as long as they may be, so
# that a message id is not folded.
_POLICY = compat32.clone(linesep="\r\n", mangle_from_=False, max_line_length=998)
_DOMAIN = "email.amazonses.com" if REGION == "us-east-1" else f"{REGION}.amazonses.com"
_UTF_8 = Charset("utf-8")
_UTF_8.body_encoding = QP  # so that people can read it


def mime_message(mail: Mail) -> bytes:
    """
    Return the message, without Bcc as SES sends it.

    SES takes tags and configuration set of a raw message from two headers. They have them here, too.
    """
    email = mail.email
    message = _body(email, boundary=f"=_{sha256(mail.message_id.encode()).hexdigest()[:32]}")
    headers = {
        "Date": formatdate(mail.accepted_at),
        "From": email.sender,
        "Reply-To": ", ".join(email.reply_to),
        "To": ", ".join(email.to),
        "Cc": ", ".join(email.cc),
        "Subject": Header(_sound(email.subject), header_name="Subject").encode(),
        "Message-ID": f"<{mail.message_id}@{_DOMAIN}>",
        "X-SES-CONFIGURATION-SET": email.configuration_set or "",
        "X-SES-MESSAGE-TAGS": ", ".join(f"{name}={value}" for name, value in email.tags.items()),
    }
    for name, value in headers.items():
        if value or name == "Subject":
            message[name] = value
    for name, value in email.headers:
        if name not in message:
            message[name] = value
    return message.as_bytes(policy=_POLICY)


def _body(email: Email, *, boundary: str) -> Message:
    parts = [_part(text, kind) for text, kind in ((email.text, "plain"), (email.html, "html")) if text is not None]
    if len(parts) == 1:
        return parts[0]
    return MIMEMultipart("alternative", boundary, parts)  # a part has no line with "=_": it would be "=3D_"


def _part(text: str, kind: str) -> Message:
    part = MIMENonMultipart("text", kind, charset="utf-8")
    part.set_payload(_sound(text), _UTF_8)
    return part


def _sound(text: str) -> str:
    """Return *text* with a question mark for each half of a surrogate pair, which no message can have."""
    return text.encode(errors="replace").decode()
