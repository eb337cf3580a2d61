"""Publish contacts to their topic, and count how many Kafka has acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from deploy.support.connections import publisher, topics_of
from deploy.support.running import CommandFailed
from runtime.kafka.publisher import KafkaPublisher, Published
from runtime.settings import Settings
from schemas.contacts import Contact, InvalidContact, contact_json
from schemas.placement import partition_for

_PUBLISHED_AT_ONCE = 2000


@dataclass
class LoadingProgress:
    """How many of the contacts Kafka has acknowledged."""

    total: int
    published: int = 0

    def __str__(self) -> str:
        """Contacts that were in flight at a failure may be published as well, and are not counted."""
        return f"{self.published} of {self.total} contacts were published"


async def publish_contacts(settings: Settings, contacts: Iterable[Contact], loading: LoadingProgress) -> None:
    """
    Publish contacts, many at once, and count them in *loading*.

    Raises:
        CommandFailed: A contact could not be published, or the file changed; the message says how many were.
    """
    topic, remaining = topics_of(settings).contacts, iter(contacts)
    async with publisher(settings, to=[topic]) as publishing:
        partitions = await publishing.partitions(topic)
        try:
            while batch := list(islice(remaining, _PUBLISHED_AT_ONCE)):
                results = await asyncio.gather(
                    *(publish_contact(publishing, topic, partitions, one.id, contact_json(one)) for one in batch),
                    return_exceptions=True,
                )
                failed = [result for result in results if isinstance(result, BaseException)]
                loading.published += len(results) - len(failed)
                if failed:
                    raise CommandFailed(f"{loading}, then {type(failed[0]).__name__}: {failed[0]}; load the file again")
        except InvalidContact as error:
            raise CommandFailed(f"{loading}, then the file changed: {error}; load it again") from error


async def publish_contact(
    publishing: KafkaPublisher, topic: str, partitions: int, contact_id: str, value: bytes | None
) -> Published:
    """Publish one contact; a value of None removes it."""
    partition = partition_for(contact_id, partitions)
    return await publishing.publish(topic, partition, key=contact_id.encode(), value=value)
