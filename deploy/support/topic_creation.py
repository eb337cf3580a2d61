"""Create the eight topics and check them."""

from __future__ import annotations

from deploy.support.connections import admin_client, topics_of
from deploy.support.topic_differences import differences
from runtime.kafka.topics import DEFAULT_PARTITIONS, check_topics, create_topics
from runtime.settings import Settings


async def create_and_check(
    settings: Settings, *, partitions: int | None = None, replication_factor: int | None = None
) -> list[str]:
    """
    Create the topics that are missing and check all; return a line for each topic and for each difference.

    Raises:
        UnfitTopics: A topic cannot be created, or cannot be used.
        KafkaError, OSError, TimeoutError: The broker does not answer.
    """
    topics = topics_of(settings)
    async with admin_client(settings) as admin:
        created = await create_topics(
            admin,
            topics,
            partitions=partitions or DEFAULT_PARTITIONS,
            replication_factor=replication_factor or 1,
        )
        count = await check_topics(admin, topics)
        found = await differences(admin, topics, partitions=partitions, replication_factor=replication_factor)
    lines = [f"{'created' if name in created else 'present'}  {name}" for name in topics.all]
    for one in found:
        lines += [f"differs  {one.topic}: {one.text}", f"    -> {one.advice}"]
    return [*lines, f"fit: events, dispatches and feedback have {count} partitions each"]
