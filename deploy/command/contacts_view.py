"""How contacts are read from their topic and printed. Addresses are personal data: they are shown if asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from deploy.support.connections import reader, topics_of
from deploy.support.output import print_json, print_line, print_table, print_text
from deploy.support.scanning import follow_from, records_until
from runtime.settings import Settings
from schemas.contacts import NEEDED, Contact, InvalidContact, read_contact

_COLUMNS = ("contact", "role", "name", "language", "time zone", "coordinator", "problem")


@dataclass(frozen=True)
class StoredContact:
    """A contact as the replicas read it, and what is wrong with its record."""

    id: str
    contact: Contact | None
    faults: Mapping[str, str] = field(default_factory=dict)
    coordinator_unknown: bool = False
    """Whether its coordinator is no contact."""

    @property
    def usable(self) -> bool:
        """Return whether all fields that an e-mail needs are valid. It may have no address."""
        return self.contact is not None and not any(name in self.faults for name in NEEDED)

    @property
    def problem(self) -> str:
        """Return what is wrong, and whether the contact gets e-mail nevertheless; empty if nothing is."""
        if self.contact is None or not self.usable:
            return f"no e-mail: {self._named}"
        if self.contact.email is None:
            return "no e-mail: it has no address"
        left_out = [f"left out: {self._named}"] if self.faults else []
        return "; ".join([*left_out, *["its coordinator is no contact"] * self.coordinator_unknown])

    @property
    def _named(self) -> str:
        return "; ".join(f"{name} {rule}" for name, rule in self.faults.items())

    def among(self, known: Collection[bytes]) -> StoredContact:
        """Return the contact as one of those with the ids *known*: its coordinator may be none of them."""
        coordinator = None if self.contact is None else self.contact.coordinator_id
        return replace(self, coordinator_unknown=coordinator is not None and coordinator.encode() not in known)

    def as_json(self, *, addresses: bool) -> dict[str, Any]:
        """Return all fields, for scripts; the address only if asked for."""
        shown = {} if self.contact is None else self.contact.model_dump(mode="json")
        if not addresses:
            shown.pop("email", None)
        return {"id": self.id, **shown, "problem": self.problem or None}


def stored_contact(key: bytes, value: bytes) -> StoredContact:
    """Read the record of one contact as the replicas do."""
    contact_id = key.decode(errors="replace")
    try:
        return StoredContact(contact_id, *read_contact(value, key=key.decode()))
    except InvalidContact as error:
        return StoredContact(contact_id, None, error.faults or {"value": str(error)})
    except UnicodeDecodeError:
        return StoredContact(contact_id, None, {"id": "is not UTF-8"})


async def stored_contacts(settings: Settings) -> list[StoredContact]:
    """Return the contacts in their topic by id: of all partitions, as replicas do, since one may lie in a wrong one."""
    values: dict[bytes, bytes] = {}
    topic = topics_of(settings).contacts
    async with reader(settings, of=[topic]) as reading:
        places = await reading.partitions(topic)
        async for record in records_until(reading, await follow_from(reading, places, None)):
            key = record.key or b""
            if record.value is None:
                values.pop(key, None)
            else:
                values[key] = record.value
    return [stored_contact(key, values[key]).among(values) for key in sorted(values)]


def print_contacts(shown: Sequence[StoredContact], *, addresses: bool) -> None:
    """Print one row per contact."""
    if not shown:
        print_text("no contacts")
        return
    rows = [
        (one.id, *(_fields(one.contact) if one.contact else [""] * 5), one.problem, *([_address(one)] * addresses))
        for one in shown
    ]
    print_table((*_COLUMNS, *(["address"] * addresses)), rows)


def print_contact(one: StoredContact, *, addresses: bool, as_json: bool) -> None:
    """Print all fields of a contact, one per line, or as JSON."""
    document = one.as_json(addresses=addresses)
    if as_json:
        print_json(document)
        return
    for name, content in document.items():
        if content is not None:
            print_line(f"{name.replace('_', ' '):<15}{content}")


def _fields(contact: Contact) -> tuple[str, ...]:
    return contact.role.value, contact.name or "", contact.locale, contact.timezone, contact.coordinator_id or ""


def _address(one: StoredContact) -> str:
    return (one.contact and one.contact.email) or ""
