"""The addresses and domains that may get e-mail in this environment; all others get none."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.addresses import ascii_address

MAX_ALLOWED = 1000
"""The most entries of a list."""
ALLOWED = f"addresses and domains, separated by commas, at most {MAX_ALLOWED}; a domain does not allow its subdomains"


class AllowedRecipients:
    """
    A list of addresses and domains. Case does not count, and a domain may be written in any script.

    Raises:
        ValueError: An entry is neither, or there are too many.
    """

    def __init__(self, text: str) -> None:
        entries = [one.strip() for one in text.split(",")]
        if len(entries) > MAX_ALLOWED:
            raise ValueError(f"must have at most {MAX_ALLOWED} entries")
        self._addresses = frozenset(_address(one) for one in entries if "@" in one)
        self._domains = frozenset(_address(f"any@{one}").partition("@")[2] for one in entries if "@" not in one)

    def __contains__(self, address: str) -> bool:
        """Return whether an address may get e-mail."""
        folded = address.casefold()
        return folded in self._addresses or folded.rpartition("@")[2] in self._domains

    @property
    def domains(self) -> Iterable[str]:
        """Return the domains, in order; addresses are personal data."""
        return sorted(self._domains)

    @property
    def addresses(self) -> int:
        """Return how many addresses are allowed."""
        return len(self._addresses)


def _address(text: str) -> str:
    return ascii_address(text).casefold()
