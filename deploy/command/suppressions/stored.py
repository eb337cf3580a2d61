"""Our own list in Kafka, and the addresses of contacts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from consumers.suppressions import Suppressions, publish_suppression
from deploy.command.suppressions.signatures import Signatures
from deploy.support.connections import publisher, topics_of
from deploy.support.output import print_error
from deploy.support.running import EXIT_USAGE, exit_with_error, load_settings
from deploy.support.scanning import whole_topics
from runtime.kafka.records import Record
from runtime.settings import CommandSettings, Settings, env_name
from runtime.signing_keys import read_signing_keys
from schemas.contacts import NEEDED, InvalidContact, read_contact
from schemas.suppressions import Suppression


@dataclass
class Stored:
    """Our list, and the address of each contact that can be written to."""

    ours: Suppressions
    faults: Counter[str]
    """How many records of the list do not count, by reason."""
    addresses: dict[str, str] = field(default_factory=dict)
    signatures: Signatures = field(default_factory=Signatures)

    def add_contact(self, record: Record) -> None:
        """Add a record of the contacts topic; the records of a partition must come in order."""
        contact_id = (record.key or b"").decode(errors="replace")
        self.addresses.pop(contact_id, None)
        if record.value is None:
            return
        try:
            contact, faults = read_contact(record.value, key=contact_id)
        except InvalidContact:
            return
        if contact.email is not None and not any(field in faults for field in NEEDED):
            self.addresses[contact_id] = contact.email


async def read_stored(settings: Settings) -> Stored:
    """Return both; raise KafkaError, UnfitTopics, OSError or TimeoutError."""
    topics, keys, faults = topics_of(settings), read_signing_keys(settings), Counter[str]()
    ours = Suppressions(on_fault=lambda fault: faults.update([str(fault)]))
    stored = Stored(ours, faults, signatures=Signatures(keys))
    async with whole_topics(settings, topics.suppressions, topics.contacts) as records:
        async for record in records:
            if record.topic == topics.contacts:
                stored.add_contact(record)
                continue
            stored.signatures.add(record)
            if stored.ours.believes(record, keys):
                stored.ours.take(record.key, record.value)
    if faults:
        named = ", ".join(f"{count} {fault}" for fault, count in sorted(faults.items()))
        print_error(f"left out: records that are unreadable, or that no key of ours signed ({named})")
    return stored


def check_keys(stored: Stored) -> None:
    """End with exit code 2 if our list is signed and there are no keys: replicas would leave out what is written."""
    if stored.signatures.has_signed and load_settings(CommandSettings).signing_keys_file is None:
        name = env_name("signing_keys_file")
        exit_with_error(f"our list is signed: set {name} to the file that the replicas have", EXIT_USAGE)


async def write_entries(settings: Settings, entries: Sequence[Suppression]) -> None:
    """Publish entries of ours; raise a PublishError, KafkaError, UnfitTopics, OSError or TimeoutError."""
    keys, topic = read_signing_keys(settings), topics_of(settings).suppressions
    if not keys:
        print_error(f"not signed, so replicas that have keys leave it out: set {env_name('signing_keys_file')}")
    async with publisher(settings, to=[topic]) as publishing:
        partitions = await publishing.partitions(topic)
        for entry in entries:
            await publish_suppression(publishing, topic, partitions, keys, entry)
