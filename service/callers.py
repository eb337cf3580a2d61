"""Who calls: anybody by default; with a file of API keys, only who holds one."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.problems import UNKNOWN_API_KEY, Problem

ANONYMOUS = "anonymous"

_MIN_KEY_LENGTH = 16
_NAME = re.compile(r"[\x21-\x7e]{1,64}")
_BEARER = re.compile(r"Bearer +(\S+) *", re.IGNORECASE)


@dataclass(frozen=True)
class Caller:
    """Who calls."""

    name: str
    """The name beside the caller's API key; `anonymous` if no keys are asked for."""
    share: str
    """Whose share of the places for waiting callers the call counts against: the name, or the client's address."""


class InvalidKeysFile(ValueError):
    """A file of API keys that cannot be used; the message names the line or name, never a key."""


class Callers:
    """Tells callers by their keys, of which only digests are held."""

    def __init__(self, keys: Mapping[str, str] | None = None) -> None:
        self._names = None if keys is None else [(_digest(key), name) for name, key in keys.items()]

    def identify(self, headers: Mapping[str, str], client: str) -> Caller:
        """Return who calls from *client*; raise Problem for no key or a wrong one."""
        if self._names is None:
            return Caller(ANONYMOUS, share=client)
        given = _digest(_key_in(headers))
        # Every key is compared, each in constant time: the time taken tells nothing.
        found = [name for digest, name in self._names if hmac.compare_digest(digest, given)]
        if not found:
            asks = {"WWW-Authenticate": 'Bearer realm="pause-notifications"'}
            raise Problem(UNKNOWN_API_KEY, "The call has no API key that is known here.", headers=asks)
        return Caller(found[0], share=found[0])


def read_callers(file: Path | None) -> Callers:
    """
    Read the file of API keys: lines of `name:key`, or one JSON object of names and keys; no file opens the door.

    Raises:
        InvalidKeysFile: naming what is wrong and what is allowed.
        OSError: where it cannot be read.
    """
    if file is None:
        return Callers()
    text = file.read_text(encoding="utf-8")
    return Callers(_checked(_from_json(text) if text.lstrip().startswith("{") else _from_lines(text)))


def _from_json(text: str) -> Iterable[tuple[str, Any]]:
    try:
        found = json.loads(text, object_pairs_hook=lambda pairs: pairs)
    except ValueError:
        raise InvalidKeysFile('The API keys file is neither JSON ({"name": "key"}) nor lines of name:key.') from None
    return [(str(name), key) for name, key in found]


def _from_lines(text: str) -> Iterable[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, key = line.partition(":")
        if not colon:
            raise InvalidKeysFile(f"The API keys file, line {number}: must be name:key.")
        yield name.strip(), key.strip()


def _checked(pairs: Iterable[tuple[str, Any]]) -> Mapping[str, str]:
    keys: dict[str, str] = {}
    for name, key in pairs:
        if not _NAME.fullmatch(name) or name in keys:
            raise InvalidKeysFile("The API keys file: names are 1 to 64 printable characters, each once.")
        if not isinstance(key, str) or len(key) < _MIN_KEY_LENGTH or not key.isascii() or " " in key:
            raise InvalidKeysFile(f"The API keys file, {name}: a key is {_MIN_KEY_LENGTH} ASCII characters or more.")
        if key in keys.values():
            raise InvalidKeysFile(f"The API keys file, {name}: its key is another's already.")
        keys[name] = key
    if not keys:
        raise InvalidKeysFile("The API keys file holds no key: nobody could call. Unset it to open the door.")
    return keys


def _key_in(headers: Mapping[str, str]) -> str:
    bearer = _BEARER.fullmatch(headers.get("authorization", ""))
    return bearer[1] if bearer else headers.get("x-api-key", "")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
