"""What a body may be, before anything of it is believed: its type, its size, its JSON."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from schemas.events import MAX_EVENT_BYTES, EventData
from service.problems import INVALID_REQUEST, NOT_JSON, TOO_LARGE, TOO_SLOW, UNSUPPORTED_CONTENT_TYPE, Problem

D = TypeVar("D", bound=EventData)

_JSON_TYPE = re.compile(r"(application|text)/([a-z0-9.!#$&^_+\-]+\+)?json")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_SHOWN_CHARACTERS = 100
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^";\s]*)"?', re.IGNORECASE)
_BODY_SECONDS = 10.0
_SAID: Mapping[str, str] = {
    "missing": "is missing",
    "string_type": "must be a string",
    "string_unicode": "must hold whole Unicode characters",
    "string_too_short": "must not be empty",  # no field of the contract has another least length than 1
    "string_too_long": "must have at most {max_length} characters",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
}
"""What pydantic's types of error are called here; our own validators speak for themselves."""


def check_stated_type(content_type: str | None, content_encoding: str | None) -> None:
    """Refuse a body that is stated to be no plain UTF-8 JSON; none stated is read as JSON."""
    if content_encoding not in (None, "", "identity"):
        raise Problem(UNSUPPORTED_CONTENT_TYPE, "Content-Encoding: a body must not be encoded.")
    if not content_type:
        return
    media_type = content_type.split(";")[0].strip().lower()
    if not _JSON_TYPE.fullmatch(media_type):
        received = _UNPRINTABLE.sub("", media_type)[:_SHOWN_CHARACTERS] or "no media type"
        detail = f"Content-Type: must be application/json, or not stated; received was: {received}"
        raise Problem(UNSUPPORTED_CONTENT_TYPE, detail)
    charset = _CHARSET.search(content_type)
    if charset and charset[1].lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise Problem(UNSUPPORTED_CONTENT_TYPE, "Content-Type: the charset must be utf-8.")


async def read_body(
    chunks: AsyncIterator[bytes],
    *,
    content_length: str | None = None,
    at_most: int = MAX_EVENT_BYTES,
    deadline_seconds: float = _BODY_SECONDS,
) -> bytes:
    """Read a body as it streams in, never holding more than *at_most* bytes and one chunk; raises Problem."""
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
        raise Problem(TOO_SLOW, "The body did not arrive whole in time.", headers=close) from error
    return bytes(body)


def _too_large(at_most: int) -> Problem:
    return Problem(TOO_LARGE, f"The body is larger than {at_most} bytes.", headers={"Connection": "close"})


def parse_json(body: bytes) -> Any:
    """Read a body as strict JSON; raises Problem for all that two readers might read differently."""
    if not body.strip():
        raise Problem(NOT_JSON, "The body is empty; a JSON object is expected.")
    try:
        return json.loads(body.decode(), object_pairs_hook=_no_name_twice, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise Problem(NOT_JSON, "The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise Problem(NOT_JSON, f"Not JSON at line {error.lineno}, column {error.colno}: {error.msg}.") from None
    except RecursionError:
        raise Problem(NOT_JSON, "The body is nested too deeply.") from None
    except ValueError as error:
        # Ours below, and Python's own for an integer of thousands of digits, whose text says so.
        raise Problem(NOT_JSON, f"Not JSON: {str(error).split(';')[0]}.") from None


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_constant(_name: str) -> None:
    raise ValueError("NaN and Infinity are no JSON")


def validate(model: type[D], parsed: Any) -> D:
    """Fit parsed JSON into the model; raises Problem with a JSON pointer per error and never a value."""
    try:
        return model.model_validate(parsed)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        errors = [{"pointer": _pointer(one["loc"]), "detail": _said(one)} for one in found]
        raise Problem(INVALID_REQUEST, _summed_up([one["pointer"] for one in errors]), errors=errors) from None


def _summed_up(pointers: Sequence[str]) -> str:
    if "" in pointers:
        return "The body is JSON, but not a JSON object."
    if len(pointers) == 1:
        return "1 field of the body is missing or wrong."
    return f"{len(pointers)} fields of the body are missing or wrong."


def _pointer(location: tuple[int | str, ...]) -> str:
    """Write a place in the body as an RFC 6901 JSON pointer."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in location)


def _said(error: Mapping[str, Any]) -> str:
    said = _SAID.get(error["type"])
    if said is not None:
        return said.format(**error.get("ctx", {}))  # pydantic's context of these types: bounds of the model, no values
    return str(error["msg"]).removeprefix("Value error, ")
