"""Identify the caller: anybody may call by default; with a file of API keys, only callers with a key."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from service.api_keys import ANONYMOUS, ApiKey, digest_of
from service.key_failures import KeyFailures
from service.problems import TOO_MANY_WRONG_KEYS, UNKNOWN_API_KEY, Problem

_BEARER = re.compile(r"Bearer +(\S+) *", re.IGNORECASE)


@dataclass(frozen=True)
class Caller:
    """Who calls."""

    name: str
    """The name of the caller's API key; `anonymous` if no keys are required."""
    share: str
    """Against whose share of the places for waiting callers the call counts: the name, or the client's address."""
    reads_all: bool = False
    """Whether the caller may read every dispatch, not only its own."""


class KeyFailure(StrEnum):
    """Why a key is refused."""

    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"


class Callers:
    """Identifies callers by their keys, of which it holds only digests; without keys it lets everybody in."""

    def __init__(self, keys: Sequence[ApiKey] | None, failures: KeyFailures) -> None:
        self._keys = keys
        self._failures = failures

    @property
    def require_keys(self) -> bool:
        """Return whether only callers with a key are let in."""
        return self._keys is not None

    def use(self, keys: Sequence[ApiKey]) -> None:
        """From now on, let only the holders of these keys in."""
        self._keys = keys

    def identify(self, headers: Mapping[str, str], client: str) -> Caller:
        """
        Return the caller at the address *client*.

        Raises:
            Problem: `unknown-api-key` for no key or a wrong one, `too-many-wrong-keys` after many of them. A valid key
                is still let in: others may share the address, and nobody guesses 256 random bits.
        """
        if self._keys is None:
            return Caller(ANONYMOUS, share=client, reads_all=True)
        text = _key_in(headers)
        found = _find(self._keys, text)
        if isinstance(found, KeyFailure):
            raise self._refusal(found, client)
        return Caller(found.name, share=found.name, reads_all=found.operator)

    def _refusal(self, failure: KeyFailure, client: str) -> Problem:
        wait_seconds = self._failures.note(client, failure)
        if wait_seconds is not None:
            detail = (
                f"Too many calls from this address had no known API key: wait {wait_seconds} s, or use a valid key."
            )
            return Problem(TOO_MANY_WRONG_KEYS, detail, headers={"Retry-After": str(wait_seconds)})
        asks = {"WWW-Authenticate": 'Bearer realm="pause-notifications"'}
        return Problem(UNKNOWN_API_KEY, "The call has no API key that is known here.", headers=asks)


def _find(keys: Sequence[ApiKey], text: str) -> ApiKey | KeyFailure:
    if not text:
        return KeyFailure.MISSING
    given = digest_of(text)
    if given is None:
        return KeyFailure.MALFORMED
    # Every digest is compared, each in constant time: the time reveals nothing.
    found = [key for key in keys if hmac.compare_digest(key.digest, given)]
    return found[0] if found else KeyFailure.UNKNOWN


def _key_in(headers: Mapping[str, str]) -> str:
    bearer = _BEARER.fullmatch(headers.get("authorization", ""))
    return bearer[1] if bearer else headers.get("x-api-key", "")
