"""The limits of SES on headers, tags and sizes; a request beyond them is a BadRequestException.

botocore checks almost none of them, so such requests do leave the client. They are refused here, as SES does.
"""

from __future__ import annotations

import re
from typing import Any

from deploy.local.ses.errors import bad_request

MESSAGE_BYTES = 40 * 1024 * 1024
RECIPIENTS = 50
HEADERS = 15
HEADER_CHARACTERS = 996
TAGS = 50

# SES writes these itself, except in Raw content: https://docs.aws.amazon.com/ses/latest/dg/header-fields.html
_OF_SES = frozenset({"bcc", "cc", "date", "from", "message-id", "mime-version", "reply-to", "return-path"})
_OWN_HEADERS = _OF_SES | {"content-disposition", "content-type", "subject", "to"}
_HEADER_NAME = re.compile(r"[!-9;-~]{1,126}")
_HEADER_VALUE = re.compile(r"[ -~]{1,995}")
_TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")


def read_headers(given: Any) -> list[tuple[str, str]]:
    """Return the headers as names and values; raise SesError if one is invalid."""
    pairs = _pairs(given, "Headers")
    if len(pairs) > HEADERS:
        raise bad_request(f"Headers: {len(pairs)} given, at most {HEADERS} are allowed.")

    for name, value in pairs:
        _check_header(name, value)
    names = [name.lower() for name, _ in pairs]
    if len(set(names)) < len(names):  # SES allows it for names of one's own; nobody here needs that
        raise bad_request("Duplicate header name.")
    return pairs


def read_tags(given: Any) -> dict[str, str]:
    """Return the values of the tags by name; raise SesError if one is invalid."""
    pairs = _pairs(given, "EmailTags")
    if len(pairs) > TAGS:
        raise bad_request(f"EmailTags: {len(pairs)} given, at most {TAGS} are allowed.")

    for pair in pairs:
        for part in pair:
            if not _TAG.fullmatch(part):
                raise bad_request(f"Invalid tag <{part[:256]}>: 1 to 256 of A-Z, a-z, 0-9, '_' and '-' are allowed.")
    tags = dict(pairs)
    if len(tags) < len(pairs):
        raise bad_request("Duplicate tag name.")

    return tags


def check_recipients(recipients: list[str]) -> None:
    """Raise SesError if there are none, or too many for one message."""
    if not recipients:
        raise bad_request("Destination must name at least one recipient.")
    if len(recipients) > RECIPIENTS:
        raise bad_request(f"Recipient count exceeds {RECIPIENTS}.")


def check_message_bytes(size: int) -> None:
    """Raise SesError if a message is larger than SES accepts."""
    if size > MESSAGE_BYTES:
        raise bad_request(f"Message length is more than {MESSAGE_BYTES} bytes long: '{size}'.")


def _check_header(name: str, value: str) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise bad_request(f"Invalid header name <{name[:126]}>: 1 to 126 printable ASCII characters without ':'.")
    if not _HEADER_VALUE.fullmatch(value):
        raise bad_request(f"Invalid value of header <{name}>: 1 to 995 printable ASCII characters.")
    if name.lower() in _OWN_HEADERS:
        raise bad_request(f"Header <{name}> is set by SES, and cannot be given.")
    if len(name) + len(value) > HEADER_CHARACTERS:
        raise bad_request(f"Header <{name}> and its value have more than {HEADER_CHARACTERS} characters.")


def _pairs(given: Any, where: str) -> list[tuple[str, str]]:
    if not given:
        return []

    try:
        pairs = [(item["Name"], item["Value"]) for item in given]
    except (KeyError, TypeError):
        raise bad_request(f"{where} must be a list of Name and Value.") from None
    if not all(isinstance(part, str) for pair in pairs for part in pair):
        raise bad_request(f"{where}: Name and Value must be strings.")

    return pairs
