"""Read a SendEmail request and check it against SES's limits; only Simple content is supported."""

from __future__ import annotations

from typing import Any, TypeVar

from deploy.local.ses.addresses import bare_address
from deploy.local.ses.errors import SesError, bad_request
from deploy.local.ses.limits import check_message_bytes, check_recipients, read_headers, read_tags
from deploy.local.ses.mails import Email

T = TypeVar("T")

UNSUPPORTED = ("ListManagementOptions", "TenantName", "EndpointId")


def read_email(request: dict[str, Any]) -> Email:
    """Return the e-mail of a request; raise SesError if SES would refuse the request."""
    for name in UNSUPPORTED:
        if request.get(name) is not None:
            raise bad_request(f"The local SES does not support {name}.")
    simple = _simple_content(request)
    subject = _content(simple, "Subject")
    if subject is None:
        raise bad_request("Content.Simple.Subject is required.")

    text, html = _body(simple)
    parts = {"subject": subject, "text": text, "html": html}
    doubts = [name for name, part in parts.items() if part is not None and _is_charset_doubtful(*part)]
    sender = _member(request, "FromEmailAddress", str)
    if sender is None:
        raise bad_request("FromEmailAddress is required.")
    destination = request.get("Destination")
    if not isinstance(destination, dict):
        raise bad_request("Destination is required.")

    to, cc, bcc = (_member(destination, name, list) or [] for name in ("ToAddresses", "CcAddresses", "BccAddresses"))
    recipients = [bare_address(address) for address in (*to, *cc, *bcc)]
    check_recipients(recipients)
    reply_to = _member(request, "ReplyToAddresses", list) or []
    for address in reply_to:
        bare_address(address)
    email = Email(
        sender=sender,
        sender_address=bare_address(sender),
        reply_to=reply_to,
        to=to,
        cc=cc,
        bcc=bcc,
        recipients=recipients,
        subject=_one_line(subject[0]),
        text=text[0] if text else None,
        html=html[0] if html else None,
        headers=read_headers(simple.get("Headers")),
        tags=read_tags(request.get("EmailTags")),
        configuration_set=_member(request, "ConfigurationSetName", str),
        charset_doubts=doubts,
    )
    check_message_bytes(len(email.subject) + len(email.text or "") + len(email.html or ""))
    return email


def _member(parent: dict[str, Any], name: str, kind: type[T]) -> T | None:
    """Return the member of that name, or None if it is absent; raise SesError if it has another type."""
    value = parent.get(name)
    if value is None or isinstance(value, kind):
        return value
    raise SesError("SerializationException", f"{name} does not have the type that it must have.")


def _one_line(subject: str) -> str:
    """Return *subject*; raise SesError for control characters, so that a subject cannot become a header."""
    if not subject.isprintable() and any(character < " " or character == "\x7f" for character in subject):
        raise bad_request("The subject contains control characters.")
    return subject


def _is_charset_doubtful(data: str, charset: str | None) -> bool:
    """Check whether SES would garble *data*: without a Charset it expects 7-bit ASCII."""
    return not data.isascii() and (charset or "").lower() != "utf-8"


def _simple_content(request: dict[str, Any]) -> dict[str, Any]:
    content = _member(request, "Content", dict)
    if content is None:
        raise bad_request("Content is required.")
    simple = _member(content, "Simple", dict)
    if simple is None:
        raise bad_request("The local SES takes Simple content in SendEmail, neither Raw nor Template.")
    if simple.get("Attachments"):
        raise bad_request("The local SES does not support Attachments.")

    return simple


def _body(simple: dict[str, Any]) -> tuple[tuple[str, str | None] | None, tuple[str, str | None] | None]:
    body = _member(simple, "Body", dict)
    if not body:
        raise bad_request("Content.Simple.Body must have Text, Html or both.")
    return _content(body, "Text"), _content(body, "Html")


def _content(parent: dict[str, Any], name: str) -> tuple[str, str | None] | None:
    content = _member(parent, name, dict)
    if content is None:
        return None

    data = _member(content, "Data", str)
    if data is None:
        raise bad_request(f"{name}.Data is required.")
    return data, _member(content, "Charset", str)
