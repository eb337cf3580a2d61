"""A SendBulkEmail request: one inline template of plain ``{{name}}`` and up to 50 entries to fill it with."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from deploy.local.ses.errors import SesError, bad_request
from deploy.local.ses.limits import (
    BULK_ENTRIES,
    INLINE_TEMPLATE_REQUEST_BYTES,
    TEMPLATE_DATA_CHARACTERS,
    check_message_bytes,
    read_headers,
    read_tags,
)
from deploy.local.ses.reading import addressed_email, member, one_line, refuse_unsupported

if TYPE_CHECKING:
    from deploy.local.ses.mails import Email

_PLACE = re.compile(r"(?<!\{)\{\{\s*([A-Za-z0-9_]+)\s*\}\}(?!\})")


class RenderingFailure(Exception):
    """The entry has no value for a name of its template: SES says SUCCESS and never sends."""


class BulkRequest:
    """What all entries share, checked; each entry is checked as it is made into an e-mail."""

    def __init__(self, request: dict[str, Any], size: int) -> None:
        if size > INLINE_TEMPLATE_REQUEST_BYTES:
            raise bad_request(f"A request with an inline template is at most {INLINE_TEMPLATE_REQUEST_BYTES} bytes.")

        refuse_unsupported(request)
        self._request = request
        template = _inline_template(request)
        content = member(template, "TemplateContent", dict) or {}
        self._subject = _template_text(content, "Subject") or ""
        self._text = _template_text(content, "Text")
        self._html = _template_text(content, "Html")
        self._data = _template_data(member(template, "TemplateData", str))
        self._headers = read_headers(template.get("Headers"))
        self._tags = read_tags(request.get("DefaultEmailTags"))
        self.entries = _entries(request)

    def email(self, entry: dict[str, Any]) -> Email:
        """Make the e-mail of *entry*; raises SesError or RenderingFailure."""
        email = addressed_email(self._request, entry.get("Destination"))
        data = self._data | _template_data(_replacement_data(entry))
        email.subject = one_line(_render(self._subject, data))
        email.text = None if self._text is None else _render(self._text, data)
        email.html = None if self._html is None else _render(self._html, data)
        email.headers = _merged(self._headers, read_headers(entry.get("ReplacementHeaders")))
        email.tags = self._tags | read_tags(entry.get("ReplacementTags"))
        check_message_bytes(len(email.subject) + len(email.text or "") + len(email.html or ""))
        return email


def _entries(request: dict[str, Any]) -> list[dict[str, Any]]:
    entries = member(request, "BulkEmailEntries", list)
    if not entries or not all(isinstance(entry, dict) for entry in entries):
        raise bad_request("BulkEmailEntries must have at least one entry.")
    if len(entries) > BULK_ENTRIES:
        raise bad_request(f"BulkEmailEntries: {len(entries)} given, at most {BULK_ENTRIES} are allowed.")

    for entry in entries:
        _check_data_length(_replacement_data(entry))
    return entries


def _inline_template(request: dict[str, Any]) -> dict[str, Any]:
    content = member(request, "DefaultContent", dict) or {}
    template = member(content, "Template", dict) or {}
    name = template.get("TemplateName") or template.get("TemplateArn")
    if name:
        raise SesError("NotFoundException", f"Template {name} does not exist.")
    if not member(template, "TemplateContent", dict):
        raise bad_request("DefaultContent.Template.TemplateContent is required.")
    if template.get("Attachments"):
        raise bad_request("The local SES does not support Attachments.")

    return template


def _template_text(content: dict[str, Any], name: str) -> str | None:
    text = member(content, name, str)
    if text is not None and "{{" in _PLACE.sub("", text):
        raise bad_request("Template contains unsupported operations.")
    return text


def _replacement_data(entry: dict[str, Any]) -> str | None:
    content = member(entry, "ReplacementEmailContent", dict) or {}
    template = member(content, "ReplacementTemplate", dict) or {}
    return member(template, "ReplacementTemplateData", str)


def _template_data(data: str | None) -> dict[str, Any]:
    if not data:
        return {}

    _check_data_length(data)
    try:
        values = json.loads(data)
    except ValueError:
        raise bad_request("The template data is not JSON.") from None
    if not isinstance(values, dict):
        raise bad_request("The template data is not a JSON object.")

    return values


def _check_data_length(data: str | None) -> None:
    if data is not None and len(data) > TEMPLATE_DATA_CHARACTERS:
        raise bad_request(f"The template data has more than {TEMPLATE_DATA_CHARACTERS} characters.")


def _render(template: str, data: dict[str, Any]) -> str:
    """Fill *template*; values are neither escaped nor searched for further places, as at SES."""
    try:
        return _PLACE.sub(lambda place: str(data[place[1]]), template)
    except KeyError as missing:
        raise RenderingFailure(missing.args[0]) from None


def _merged(default: list[tuple[str, str]], replacing: list[tuple[str, str]]) -> list[tuple[str, str]]:
    replaced = {name.lower() for name, _ in replacing}
    return [(name, value) for name, value in default if name.lower() not in replaced] + replacing
