"""The suppressions as a table, whom they concern now, and how an entry is published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import structlog

from runtime.kafka.publisher import Published, Publisher
from runtime.kafka.records import Record
from runtime.signing_keys import proof_of
from schemas.feedback import address_digest, recipient_tag
from schemas.placement import partition_for
from schemas.signatures import SigningKeys
from schemas.suppressions import (
    Suppression,
    SuppressionList,
    parse_suppression,
    parse_suppression_key,
    suppression_json,
    suppression_key,
)

log = structlog.get_logger(__name__)

UNREADABLE = "unreadable"
_MAX_LOGGED = 10
"""At most this many records with faults are logged; the metric counts all of them."""


def _uncounted(_fault: str) -> None:
    """Count nothing."""


class Suppressions:
    """The entries of all contacts on both lists, as their topic has them."""

    def __init__(self, *, on_fault: Callable[[str], None] = _uncounted) -> None:
        """Call *on_fault* for each record that does not count, with the reason: a proof's code, or UNREADABLE."""
        self._entries: dict[tuple[SuppressionList, str], Suppression] = {}
        self._on_fault = on_fault
        self._logged = 0
        self.current = False
        """Whether the table holds the whole topic. It does not while a recreated topic is read."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def counts(self) -> Mapping[str, int]:
        """Return the number of entries, for the log."""
        return {"suppressions": len(self)}

    def entry(self, on: SuppressionList, contact_id: str) -> Suppression | None:
        """Return the entry of a contact on a list, whether or not it still applies."""
        return self._entries.get((on, contact_id))

    def entries(self) -> tuple[Suppression, ...]:
        """Return all entries."""
        return tuple(self._entries.values())

    def find(self, contact_id: str, address: str, now: datetime) -> Suppression | None:
        """Return the entry because of which this contact gets no e-mail at this *address* now, or None."""
        found = [one for on in SuppressionList if (one := self.entry(on, contact_id)) is not None]
        if not found:  # nearly always, so that nothing is hashed
            return None
        digest = digest_of(contact_id, address)
        return next((one for one in found if one.applies(digest, now)), None)

    def take(self, key: bytes | None, value: bytes | None, /) -> None:
        """
        Apply a record of the topic: the last one of a key counts, and a null value removes the entry.

        A record that cannot be read leaves the entry as it was: it may be a newer release's, or a mistake.
        """
        named = parse_suppression_key(key)
        found = None if value is None else parse_suppression(key, value)
        if named is None or (value is not None and found is None):
            self._report(UNREADABLE, key)
        elif found is None:
            self._entries.pop(named, None)
        else:
            self._entries[named] = found

    def believes(self, record: Record, keys: SigningKeys) -> bool:
        """Return whether a record of the topic counts: one of our keys signed it, or there are none. Report others."""
        proof = proof_of(record, keys)
        if proof.counts:
            return True
        self._report(proof, record.key)
        return False

    def _report(self, fault: str, key: bytes | None) -> None:
        self._on_fault(fault)
        if self._logged < _MAX_LOGGED:
            self._logged += 1
            log.warning("suppressions.invalid", key=(key or b"")[:128].decode(errors="replace"), fault=str(fault))

    def fresh(self) -> Suppressions:
        """Return an empty table."""
        fresh = Suppressions(on_fault=self._on_fault)
        fresh._logged = self._logged
        return fresh

    def replace(self, fresh: Suppressions, /) -> None:
        """Take over the content of *fresh*, which holds the whole topic."""
        self._entries, self._logged, self.current = fresh._entries, fresh._logged, True


def digest_of(contact_id: str, address: str) -> str:
    """Return the digest of a contact's address, as feedback and suppressions have it."""
    return address_digest(recipient_tag(contact_id), address)


async def publish_suppression(
    publisher: Publisher, topic: str, partitions: int, keys: SigningKeys, suppression: Suppression
) -> Published:
    """
    Publish an entry, signed, in place of the one that its contact has on the same list.

    *partitions* are those of this topic. Whoever writes must choose the same partition, or two records of one key
    have no order. So it follows from the contact alone.
    """
    on, contact_id, value = suppression.on, suppression.contact_id, suppression_json(suppression)
    return await _publish(publisher, topic, partitions, keys, on, contact_id, value)


async def clear_suppression(
    publisher: Publisher, topic: str, partitions: int, keys: SigningKeys, on: SuppressionList, contact_id: str
) -> Published:
    """Publish that a contact has no entry on a list, signed: a null value."""
    return await _publish(publisher, topic, partitions, keys, on, contact_id, None)


async def _publish(
    publisher: Publisher,
    topic: str,
    partitions: int,
    keys: SigningKeys,
    on: SuppressionList,
    contact_id: str,
    value: bytes | None,
) -> Published:
    key, number = suppression_key(on, contact_id), partition_for(contact_id, partitions)
    return await publisher.publish(topic, number, key=key, value=value, headers=keys.signed(topic, key, value, []))
