"""A SendEmail request, read and held to SES's limits: Simple content only."""

from __future__ import annotations

from typing import Any, TypeVar

from deploy.local.ses.addresses import bare_address
from deploy.local.ses.errors import SesError, bad_request
from deploy.local.ses.limits import check_message_bytes, check_recipients, read_headers, read_tags
from deploy.local.ses.mails import Email

T = TypeVar("T")

UNSUPPORTED = ("ListManagementOptions", "TenantName", "EndpointId")


def read_email(request: dict[str, Any]) -> Email:
    """Return the e-mail asked for; raises SesError where SES would refuse the request."""
    refuse_unsupported(request)
    simple = _simple_content(request)
    subject = _content(simple, "Subject")
    if subject is None:
        raise bad_request("Content.Simple.Subject is required.")

    text, html = _body(simple)
    doubts = [
        name
        for name, content in (("subject", subject), ("text", text), ("html", html))
        if content is not None and is_charset_doubtful(*content)
    ]
    email = addressed_email(request, request.get("Destination"))
    email.subject = one_line(subject[0])
    email.text = text[0] if text else None
    email.html = html[0] if html else None
    email.headers = read_headers(simple.get("Headers"))
    email.tags = read_tags(request.get("EmailTags"))
    email.charset_doubts = doubts
    check_message_bytes(len(email.subject) + len(email.text or "") + len(email.html or ""))
    return email


def addressed_email(request: dict[str, Any], destination: Any) -> Email:
    """Return an e-mail with all addresses and no content yet; raises SesError."""
    sender = member(request, "FromEmailAddress", str)
    if sender is None:
        raise bad_request("FromEmailAddress is required.")
    if not isinstance(destination, dict):
        raise bad_request("Destination is required.")

    to = member(destination, "ToAddresses", list) or []
    cc = member(destination, "CcAddresses", list) or []
    bcc = member(destination, "BccAddresses", list) or []
    recipients = [bare_address(address) for address in (*to, *cc, *bcc)]
    check_recipients(recipients)
    reply_to = member(request, "ReplyToAddresses", list) or []
    for address in reply_to:
        bare_address(address)
    return Email(
        sender=sender,
        sender_address=bare_address(sender),
        reply_to=reply_to,
        to=to,
        cc=cc,
        bcc=bcc,
        recipients=recipients,
        subject="",
        text=None,
        html=None,
        headers=[],
        tags={},
        configuration_set=member(request, "ConfigurationSetName", str),
        charset_doubts=[],
    )


def member(parent: dict[str, Any], name: str, kind: type[T]) -> T | None:
    """Return that member, None if it is absent; raises SesError if it is of another type."""
    value = parent.get(name)
    if value is None or isinstance(value, kind):
        return value
    raise SesError("SerializationException", f"{name} is not of the type that it must have.")


def refuse_unsupported(request: dict[str, Any]) -> None:
    """Raise SesError for what would otherwise be dropped in silence."""
    for name in UNSUPPORTED:
        if request.get(name) is not None:
            raise bad_request(f"The local SES does not support {name}.")


def one_line(subject: str) -> str:
    """Return *subject*; raises SesError for control characters, lest a subject become a header."""
    if not subject.isprintable() and any(character < " " or character == "\x7f" for character in subject):
        raise bad_request("The subject contains control characters.")
    return subject


def is_charset_doubtful(data: str, charset: str | None) -> bool:
    """Return whether SES would garble *data*, since without a Charset it takes 7-bit ASCII."""
    return not data.isascii() and (charset or "").lower() != "utf-8"


def _simple_content(request: dict[str, Any]) -> dict[str, Any]:
    content = member(request, "Content", dict)
    if content is None:
        raise bad_request("Content is required.")
    simple = member(content, "Simple", dict)
    if simple is None:
        raise bad_request("The local SES takes Simple content in SendEmail, neither Raw nor Template.")
    if simple.get("Attachments"):
        raise bad_request("The local SES does not support Attachments.")

    return simple


def _body(simple: dict[str, Any]) -> tuple[tuple[str, str | None] | None, tuple[str, str | None] | None]:
    body = member(simple, "Body", dict)
    if not body:
        raise bad_request("Content.Simple.Body must have Text, Html or both.")
    return _content(body, "Text"), _content(body, "Html")


def _content(parent: dict[str, Any], name: str) -> tuple[str, str | None] | None:
    content = member(parent, name, dict)
    if content is None:
        return None

    data = member(content, "Data", str)
    if data is None:
        raise bad_request(f"{name}.Data is required.")
    return data, member(content, "Charset", str)
