"""The account's suppression list: addresses that SES sends to no more."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

MAX_ADDRESSES = 100_000


@dataclass(frozen=True, slots=True)
class Suppressed:
    """An address on the list; the time is in seconds since the epoch. A person's entry has no ids."""

    address: str
    reason: str
    at: float
    message_id: str | None = None
    feedback_id: str | None = None


class SuppressionList:
    """The newest entries, at most *most*; case does not count."""

    def __init__(self, *, most: int = MAX_ADDRESSES) -> None:
        self._most = most
        self._entries: OrderedDict[str, Suppressed] = OrderedDict()

    def holds(self, address: str) -> bool:
        """Return whether SES does not send to *address*."""
        return address.lower() in self._entries

    def get(self, address: str) -> Suppressed | None:
        """Return the entry of *address*, if there is one."""
        return self._entries.get(address.lower())

    def add(
        self, address: str, reason: str, at: float, message_id: str | None = None, feedback_id: str | None = None
    ) -> None:
        """Add *address*, or replace its entry; remove the oldest entry if there is no room."""
        self._entries.pop(address.lower(), None)
        self._entries[address.lower()] = Suppressed(address, reason, at, message_id, feedback_id)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def remove(self, address: str) -> bool:
        """Remove *address*; return whether it was on the list."""
        return self._entries.pop(address.lower(), None) is not None

    def after(self, address: str) -> list[Suppressed]:
        """Return the entries after *address* in the order of the addresses; all of them after an empty one."""
        return [self._entries[key] for key in sorted(self._entries) if key > address.lower()]
