"""Keep out of log lines: addresses, names, the content of e-mails, and secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from typing import Any
from uuid import UUID

from structlog.typing import EventDict, WrappedLogger

REDACTED = "[redacted]"
ADDRESS = "[address]"

_PERSON = frozenset(
    {"email", "emails", "mail", "address", "addresses", "name", "names", "firstname", "lastname", "username"}
)
_CONTENT = frozenset({"subject", "body", "html", "text", "data", "payload"})
_SECRET = frozenset({"password", "passwd", "secret", "token", "authorization", "cookie", "apikey", "credentials"})
_PRIVATE = _PERSON | _CONTENT | _SECRET
_PRIVATE_PAIRS = ("api_key", "reply_to", "access_key", "private_key")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")

# Anything@anything, also URL-encoded, with the display name before it. The local part is bounded (RFC 5321 allows
# 64 characters), so that the time grows with the text's length only. In doubt, text is hidden.
_STOP = r"\s@<>\"'(),:;\[\]\\"
_AN_ADDRESS = re.compile(
    rf"(?:[^,:;<>\n]{{0,128}}<\s*)?(?:\"[^\"\n]{{1,128}}\"|[^{_STOP}]{{1,128}}?)(?:@|%40)[^{_STOP}]+>?", re.IGNORECASE
)
_PYDANTIC_INPUT = re.compile(r"input_value=.*?, input_type=", re.DOTALL)
_PLAIN = (date, timedelta, Decimal, PurePath, UUID)
_MAX_DEPTH = 8


def redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Redact a whole log line: the last structlog processor before the renderer."""
    return {str(key): _redact(str(key), value, _MAX_DEPTH) for key, value in event.items()}


def redact_text(text: str) -> str:
    """Hide whatever looks like an e-mail address, and the input that pydantic quotes."""
    if "input_value=" in text:
        text = _PYDANTIC_INPUT.sub(f"input_value={REDACTED}, input_type=", text)
    if "@" not in text and "%40" not in text:
        return text
    return _AN_ADDRESS.sub(ADDRESS, text)


def _redact(key: str, value: Any, depth: int) -> Any:
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool | int | float):
        return value
    if _private(key) or depth == 0:
        return REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {redact_text(str(k)): _redact(str(k), v, depth - 1) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact(key, item, depth - 1) for item in value]
    return _redact_object(value)


def _redact_object(value: Any) -> str:
    """Return the text of types that cannot hold personal data; of any other object only its type."""
    if isinstance(value, _PLAIN):
        return redact_text(str(value))
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {redact_text(str(value))}"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    return f"<{type(value).__name__}>"


@lru_cache(maxsize=1024)
def _private(key: str) -> bool:
    lowered = key.lower().replace("-", "_")
    return any(pair in lowered for pair in _PRIVATE_PAIRS) or any(
        word.lower() in _PRIVATE for word in _WORD.findall(key)
    )
