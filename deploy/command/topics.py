"""`pause-notifications topics`: create and check the eight topics."""

from __future__ import annotations

from deploy.support.output import print_text
from deploy.support.running import run
from deploy.support.topic_creation import create_and_check
from runtime.settings import Settings


def create(partitions: int | None, replication_factor: int | None) -> None:
    """Create the topics that are missing, and check all eight; safe to repeat."""

    async def work(settings: Settings) -> None:
        for line in await create_and_check(settings, partitions=partitions, replication_factor=replication_factor):
            print_text(line)

    run(work)
