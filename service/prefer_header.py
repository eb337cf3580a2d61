"""Read how long a caller wants to wait: the Prefer header (RFC 7240)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MAX_WAIT_SECONDS = 30

_PREFERENCE = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*")+')
_WAIT = re.compile(r'\s*wait\s*=\s*("?)([0-9]{1,9})\1\s*(?:;.*)?', re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Wait:
    """How long a caller waits for the outcome, and the header that confirms it."""

    seconds: float
    applied: int | None = None
    """The whole seconds of a preference that is applied, at most MAX_WAIT_SECONDS."""

    @property
    def headers(self) -> dict[str, str]:
        """Return the header that names the preference, if one is applied."""
        return {} if self.applied is None else {"Preference-Applied": f"wait={self.applied}"}


def parse_prefer(values: Sequence[str], *, default_seconds: float) -> Wait:
    """Return the first valid `Prefer: wait=N`; RFC 7240 says to ignore what cannot be read."""
    for value in values:
        for preference in _PREFERENCE.findall(value):
            if wait := _WAIT.fullmatch(preference):
                seconds = min(int(wait[2]), MAX_WAIT_SECONDS)
                return Wait(seconds, applied=seconds)
    return Wait(default_seconds)
