"""The contacts as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from schemas.contacts import NEEDED, Contact, InvalidContact, read_contact

log = structlog.get_logger(__name__)

_MAX_LOGGED = 1000
"""At most this many contacts with faults are logged; the metric counts all of them."""


@dataclass(frozen=True)
class Invalid:
    """The entry of a contact that breaks the contract: it receives no e-mail."""

    field: str
    """The field that is wrong."""
    rest: Contact
    """The fields that could be read, such as who coordinates this mentor."""


def _uncounted(_field: str) -> None:
    """Count nothing."""


class Contacts:
    """All contacts by id, including those that are invalid in the topic."""

    def __init__(self, *, on_fault: Callable[[str], None] = _uncounted) -> None:
        """Call *on_fault* with each field that breaks the contract, once for each contact."""
        self._table: dict[str, Contact | Invalid] = {}
        self._faulty: dict[str, frozenset[str]] = {}
        self._on_fault = on_fault
        self._logged = 0
        self._invalid = 0
        self.current = False
        """Whether the table holds the whole topic. It does not while a recreated topic is read."""

    @property
    def valid(self) -> int:
        """Return the number of contacts that can receive e-mail."""
        return len(self._table) - self._invalid

    @property
    def invalid(self) -> int:
        """Return the number of contacts that break the contract."""
        return self._invalid

    @property
    def counts(self) -> Mapping[str, int]:
        """Return the numbers of valid and of invalid contacts, for the log."""
        return {"contacts": self.valid, "invalid": self.invalid}

    def get(self, contact_id: str) -> Contact | Invalid | None:
        """Return a contact, or None if it is unknown."""
        return self._table.get(contact_id)

    def take(self, key: bytes | None, value: bytes | None, /) -> None:
        """Apply a record of the topic: the last one of a key counts, and a null value removes the contact."""
        try:
            contact_id = (key or b"").decode()
        except UnicodeDecodeError:
            return
        if isinstance(self._table.pop(contact_id, None), Invalid):
            self._invalid -= 1
        if value is None:
            self._faulty.pop(contact_id, None)
            return
        try:
            contact, faults = read_contact(value, key=contact_id)
        except InvalidContact as error:  # no event can name such an id, so nobody misses it
            self._report(contact_id, error.faults)
            return
        wrong = next((field for field in NEEDED if field in faults), None)
        self._table[contact_id] = contact if wrong is None else Invalid(wrong, contact)
        self._invalid += wrong is not None
        self._report(contact_id, faults)

    def _report(self, contact_id: str, faults: Mapping[str, str]) -> None:
        """Count and log the faults of a contact, unless they are known."""
        known, found = self._faulty.get(contact_id, frozenset()), frozenset(faults)
        if found == known:
            return
        if found:
            self._faulty[contact_id] = found
        else:
            self._faulty.pop(contact_id)
        for field in found - known:
            self._on_fault(field)
        if not found or self._logged >= _MAX_LOGGED:
            return
        self._logged += 1
        problem = "; ".join(f"{field}: {rule}" for field, rule in faults.items())
        event = "contacts.fallback" if found.isdisjoint(NEEDED) else "contacts.invalid"
        log.warning(event, contact=contact_id[:128], problem=problem)

    def fresh(self) -> Contacts:
        """Return an empty table that does not report known faults again."""
        fresh = Contacts(on_fault=self._on_fault)
        fresh._faulty = dict(self._faulty)
        return fresh

    def replace(self, fresh: Contacts, /) -> None:
        """Take over the content of *fresh*, which holds the whole topic."""
        self._table, self._invalid, self._faulty, self.current = fresh._table, fresh._invalid, fresh._faulty, True
