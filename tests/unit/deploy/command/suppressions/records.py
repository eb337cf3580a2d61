"""Records of our list, signed with any keys."""

from __future__ import annotations

from datetime import UTC, datetime

from runtime.kafka.records import Record
from schemas.signatures import SigningKeys
from schemas.suppressions import (
    SUPPRESSIONS_TOPIC,
    Suppression,
    SuppressionList,
    SuppressionReason,
    suppression_json,
    suppression_key,
)

SINCE = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)


def signed_record(contact_id: str, keys: SigningKeys, *, detail: str = "", null: bool = False) -> Record:
    """Return the record of an entry, signed with the first of *keys*; without keys, unsigned."""
    entry = Suppression(
        contact_id=contact_id, address="0" * 64, reason=SuppressionReason.BOUNCED, since=SINCE, detail=detail
    )
    key, value = suppression_key(SuppressionList.HARD, contact_id), None if null else suppression_json(entry)
    headers = keys.signed(SUPPRESSIONS_TOPIC, key, value, [])
    return Record(SUPPRESSIONS_TOPIC, 0, 0, key, value, headers, SINCE, 0)
