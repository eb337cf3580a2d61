"""How long a caller wants to wait: the Prefer header (RFC 7240)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MAX_WAIT_SECONDS = 30

_PREFERENCE = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*")+')
_WAIT = re.compile(r'\s*wait\s*=\s*("?)([0-9]{1,9})\1\s*(?:;.*)?', re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Wait:
    """How long a caller waits for the outcome, and what the answer says of it."""

    seconds: float
    applied: int | None = None
    """The whole seconds of a preference that was followed, clamped where it asked for more."""

    @property
    def headers(self) -> dict[str, str]:
        """Return the header that says which preference was followed, where one was."""
        return {} if self.applied is None else {"Preference-Applied": f"wait={self.applied}"}


def parse_prefer(values: Sequence[str], *, default_seconds: float) -> Wait:
    """Read `Prefer: wait=N`; the first one counts, and what cannot be read is passed over, as RFC 7240 says."""
    for value in values:
        for preference in _PREFERENCE.findall(value):
            if wait := _WAIT.fullmatch(preference):
                seconds = min(int(wait[2]), MAX_WAIT_SECONDS)
                return Wait(seconds, applied=seconds)
    return Wait(default_seconds)
