"""
API keys, and the file that lists them: one line for each key, with its caller's name and its digest, never the key.

A key is 32 random bytes, so nobody can find it from its plain SHA-256. A slow hash protects passwords, which people
choose; here it would only let strangers use our CPU. So only keys of this form are accepted.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ANONYMOUS = "anonymous"
"""The caller's name if no API keys are required; no key may have it."""

NAME_ALLOWED = (
    f"1 to 64 printable ASCII characters without spaces, without '#' at the start and other than {ANONYMOUS!r}"
)
MAX_FILE_BYTES = 1_048_576

_KEY_BYTES = 32
_KEY = re.compile(r"pn_[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[\x21\x22\x24-\x7e][\x21-\x7e]{0,63}")
_OPERATOR = "operator"
_LINE = re.compile(rf"(?P<name>\S+)[ \t]+sha256:(?P<digest>[0-9a-f]{{64}})(?P<operator>[ \t]+{_OPERATOR})?")
_FORM = (
    f"must be NAME sha256:DIGEST [{_OPERATOR}], as `pause-notifications api-keys add` writes it. "
    "Keys themselves (lines of name:key, or JSON) are not read: make each caller a new key by that command"
)


class InvalidKeysFile(ValueError):
    """A file of API keys that cannot be used; the message names the line, never its content."""


@dataclass(frozen=True)
class ApiKey:
    """One key of the file."""

    name: str
    """Whose key it is; a caller may have several, and the older is removed when the newer is in use."""
    digest: bytes
    operator: bool = False
    """Whether it may read the dispatches of all callers."""

    @property
    def line(self) -> str:
        """Return the key's line in the file."""
        return f"{self.name} sha256:{self.digest.hex()}{' ' + _OPERATOR if self.operator else ''}"


def new_key(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """Return a new key: 256 random bits, with a prefix that scanners of source code can find."""
    return "pn_" + urlsafe_b64encode(random_bytes(_KEY_BYTES)).rstrip(b"=").decode()


def digest_of(key: str) -> bytes | None:
    """Return the digest of a key, or None if *key* does not have the form of one."""
    return hashlib.sha256(key.encode()).digest() if _KEY.fullmatch(key) else None


def valid_name(name: str) -> bool:
    """Check whether a caller may have this name."""
    return _NAME.fullmatch(name) is not None and name != ANONYMOUS


def parse_keys(text: str) -> tuple[ApiKey, ...]:
    """
    Return the keys of a file's text; empty lines and lines that begin with `#` are skipped.

    Raises:
        InvalidKeysFile: if a line is wrong, or if there is no key.
    """
    keys: dict[bytes, ApiKey] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            key = _parse_line(line.strip(), number)
            if key.digest in keys:
                raise InvalidKeysFile(f"line {number}: this key is listed twice")
            keys[key.digest] = key
    if not keys:
        raise InvalidKeysFile("it lists no key, so nobody could call")
    return tuple(keys.values())


def read_bytes(file: Path) -> bytes:
    """Return the content of a file, at most one byte more than it may have; raise OSError if it cannot be read."""
    with file.open("rb") as opened:
        return opened.read(MAX_FILE_BYTES + 1)


def decode_keys(content: bytes) -> str:
    """Return the text of a file's content; raise InvalidKeysFile if it is too large or not UTF-8."""
    if len(content) > MAX_FILE_BYTES:
        raise InvalidKeysFile(f"it is larger than {MAX_FILE_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidKeysFile("it is not UTF-8") from None


def without(text: str, keys: Sequence[ApiKey]) -> str:
    """Return a file's text without the lines of *keys*; comments and all other lines stay."""
    gone = {key.line.split(" ")[1] for key in keys}
    return "".join(line for line in text.splitlines(keepends=True) if not gone & set(line.split()))


def _parse_line(line: str, number: int) -> ApiKey:
    found = _LINE.fullmatch(line)
    if found is None:
        raise InvalidKeysFile(f"line {number}: {_FORM}")
    if not valid_name(found["name"]):
        raise InvalidKeysFile(f"line {number}: a name must be {NAME_ALLOWED}")
    return ApiKey(found["name"], bytes.fromhex(found["digest"]), operator=found["operator"] is not None)
