"""Check a request body before anything in it is trusted: its type, its size and its JSON."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from schemas.events import MAX_EVENT_BYTES, EventData
from schemas.strict_json import NotJson, read_json
from schemas.violations import violations
from service.problems import INVALID_REQUEST, NOT_JSON, TOO_LARGE, TOO_SLOW, UNSUPPORTED_CONTENT_TYPE, Problem

D = TypeVar("D", bound=EventData)

_JSON_TYPE = re.compile(r"(application|text)/([a-z0-9.!#$&^_+\-]+\+)?json")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_SHOWN_CHARACTERS = 100
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^";\s]*)"?', re.IGNORECASE)
_SAME_SITE = {"none", "same-origin"}
"""`Sec-Fetch-Site` of requests from a person or a page of our own origin; any other value is from another site."""
_BODY_SECONDS = 10.0


def check_stated_type(content_type: str | None, content_encoding: str | None) -> None:
    """Refuse a body whose stated type is not plain UTF-8 JSON; a body without a type is read as JSON."""
    if content_encoding not in (None, "", "identity"):
        raise Problem(UNSUPPORTED_CONTENT_TYPE, "Content-Encoding: a body must not be encoded.")
    if not content_type:
        return
    media_type = content_type.split(";")[0].strip().lower()
    if not _JSON_TYPE.fullmatch(media_type):
        received = _UNPRINTABLE.sub("", media_type)[:_SHOWN_CHARACTERS] or "no media type"
        detail = f"Content-Type: must be application/json, or absent; received: {received}"
        raise Problem(UNSUPPORTED_CONTENT_TYPE, detail)
    charset = _CHARSET.search(content_type)
    if charset and charset[1].lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise Problem(UNSUPPORTED_CONTENT_TYPE, "Content-Type: the charset must be utf-8.")


def check_not_from_a_page(headers: Mapping[str, str]) -> None:
    """
    Refuse a body without a type that a browser sends for a web page.

    Any page may send such a body to any address without asking. With a JSON type the browser asks first, and this
    service refuses. Browsers send `Origin` with every POST, and newer ones `Sec-Fetch-Site` with every request.
    """
    if headers.get("content-type"):
        return
    if "origin" in headers or headers.get("sec-fetch-site", "none").strip().lower() not in _SAME_SITE:
        detail = "Content-Type: must be application/json in calls from a web page; it is missing."
        raise Problem(UNSUPPORTED_CONTENT_TYPE, detail)


async def read_body(
    chunks: AsyncIterator[bytes],
    *,
    content_length: str | None = None,
    at_most: int = MAX_EVENT_BYTES,
    deadline_seconds: float = _BODY_SECONDS,
) -> bytes:
    """Return a body as it streams in, holding at most *at_most* bytes and one chunk; raise Problem if it is refused."""
    if content_length is not None and content_length.isdecimal() and int(content_length[:20]) > at_most:
        raise _too_large(at_most)
    body = bytearray()
    try:
        async with asyncio.timeout(deadline_seconds):
            async for chunk in chunks:
                body += chunk
                if len(body) > at_most:
                    raise _too_large(at_most)
    except (TimeoutError, ClientDisconnect) as error:
        close = {"Connection": "close"}
        raise Problem(TOO_SLOW, "The whole body did not arrive in time.", headers=close) from error
    return bytes(body)


def _too_large(at_most: int) -> Problem:
    return Problem(TOO_LARGE, f"The body is larger than {at_most} bytes.", headers={"Connection": "close"})


def parse_json(body: bytes) -> Any:
    """Parse a body as strict JSON; raise Problem for anything that two parsers might read differently."""
    if not body.strip():
        raise Problem(NOT_JSON, "The body is empty; a JSON object is expected.")
    try:
        return read_json(body)
    except NotJson as error:
        raise Problem(NOT_JSON, f"The body is not JSON: {error}.") from None


def validate(model: type[D], parsed: Any) -> D:
    """Validate parsed JSON against the model; raise Problem with a JSON pointer for each error, and no values."""
    try:
        return model.model_validate(parsed)
    except ValidationError as error:
        errors = [{"pointer": _pointer(found.place), "detail": found.rule} for found in violations(error)]
        raise Problem(INVALID_REQUEST, _summary([one["pointer"] for one in errors]), errors=errors) from None


def _summary(pointers: Sequence[str]) -> str:
    if "" in pointers:
        return "The body is JSON, but not a JSON object."
    if len(pointers) == 1:
        return "1 field of the body is missing or wrong."
    return f"{len(pointers)} fields of the body are missing or wrong."


def _pointer(location: tuple[int | str, ...]) -> str:
    """Return a location in the body as an RFC 6901 JSON pointer."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in location)
