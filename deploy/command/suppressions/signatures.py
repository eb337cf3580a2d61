"""Which keys signed our list, and which of its records must be signed again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from deploy.support.connections import topics_of
from deploy.support.scanning import whole_topics
from runtime.kafka.records import Record
from runtime.settings import Settings
from runtime.signing_keys import proof_of, read_signing_keys
from schemas.signatures import NO_KEYS, Proof, SigningKeys, key_id_of
from schemas.suppressions import SuppressionList, parse_suppression_key

NAMED = 5
"""How many ids of keys are printed: who may write to the topic can invent any number of them."""

_Entry = tuple[SuppressionList, str]


class Signatures:
    """The last record of each entry that counts, and the later one that does not. Nulls are records like any other."""

    def __init__(self, keys: SigningKeys = NO_KEYS) -> None:
        self._keys = keys
        self._counting: dict[_Entry, Record] = {}
        self._later: dict[_Entry, tuple[Proof, Record]] = {}
        self.has_signed = False
        """Whether any record of the list has a signature."""

    def __len__(self) -> int:
        return len(self._counting)

    def add(self, record: Record) -> None:
        """Add a record of the topic; the records of a partition must come in order."""
        named = parse_suppression_key(record.key)
        if named is None:
            return
        self.has_signed |= key_id_of(record.headers) is not None
        proof = proof_of(record, self._keys)
        if proof.counts:
            self._counting[named] = record
            self._later.pop(named, None)
        else:
            self._later[named] = (proof, record)

    @property
    def unknown(self) -> Mapping[str, int]:
        """Return how many entries each unknown key signed last."""
        found = Counter(key_id_of(record.headers) or "" for record in self._of_unknown_keys().values())
        return dict(found.most_common())

    @property
    def unproven(self) -> int:
        """Return how many entries have only records without a valid signature, apart from unknown keys."""
        return len(self._not_counting()) - len(self._of_unknown_keys())

    def to_sign(self) -> list[Record]:
        """
        Return the records that the first key must sign.

        They are those of other keys, and those that Kafka may compact away because a later record does not count. If an
        unknown key signed the later one, both stay: with that key again, the later one counts.
        """
        if not self._keys:
            return []
        unknown = self._of_unknown_keys()
        return [
            record
            for named, record in self._counting.items()
            if named not in unknown and (named in self._later or key_id_of(record.headers) != self._keys.ids[0])
        ]

    def to_drop(self) -> list[tuple[bytes, Record | None]]:
        """Return the keys of entries that do not count, each with the earlier record that does, or None."""
        return [(record.key or b"", self._counting.get(named)) for named, record in self._not_counting().items()]

    def _of_unknown_keys(self) -> dict[_Entry, Record]:
        return {named: record for named, (proof, record) in self._later.items() if proof is Proof.UNKNOWN_KEY}

    def _not_counting(self) -> dict[_Entry, Record]:
        unsigned = {named: record for named, (_, record) in self._later.items() if named not in self._counting}
        return unsigned | self._of_unknown_keys()


def key_ids(ids: Sequence[str]) -> str:
    """Return ids as they are printed: the first ones, and how many more there are."""
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(ids[:NAMED]) + more


async def read_signatures(settings: Settings) -> Signatures:
    """Return which keys signed our list; raise KafkaError, UnfitTopics, OSError or TimeoutError."""
    topic, found = topics_of(settings).suppressions, Signatures(read_signing_keys(settings))
    async with whole_topics(settings, topic) as records:
        async for record in records:
            found.add(record)
    return found
