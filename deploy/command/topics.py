"""`pause-notifications topics`: the five topics, made on purpose and never by accident."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.command.connections import admin_client, topics_of
from deploy.command.examples import examples
from deploy.command.output import say
from deploy.command.running import run
from runtime.kafka.topics import DEFAULT_PARTITIONS, check_topics, create_topics
from runtime.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Make the topics that everything runs on.", rich_markup_mode=None)


@app.callback()
def _noun() -> None:
    """Make the topics that everything runs on."""


@app.command()
@examples(
    "pause-notifications topics create --partitions 12 --replication-factor 3",
    "PAUSE_NOTIFICATIONS_NAMESPACE=staging pause-notifications topics create",
)
def create(
    partitions: Annotated[
        int, typer.Option(min=1, max=1000, help="Partitions of each topic: the most replicas that can share the work.")
    ] = DEFAULT_PARTITIONS,
    replication_factor: Annotated[
        int, typer.Option(min=1, max=32767, help="Copies of each record; 3 in production, of which 2 acknowledge.")
    ] = 1,
) -> None:
    """
    Create the topics that are missing and check all five; may be repeated.

    Topics that are there are left as they are: partitions are never added in place, since a mentor's events would then
    lie in two of them.
    """

    async def work(settings: Settings) -> None:
        for line in await create_and_check(settings, partitions=partitions, replication_factor=replication_factor):
            say(line)

    run(work)


async def create_and_check(
    settings: Settings, *, partitions: int = DEFAULT_PARTITIONS, replication_factor: int = 1
) -> list[str]:
    """Create what is missing and check all; give a line per topic. Raises UnfitTopics, KafkaError or TimeoutError."""
    topics = topics_of(settings)
    async with admin_client(settings) as admin:
        created = await create_topics(admin, topics, partitions=partitions, replication_factor=replication_factor)
        count = await check_topics(admin, topics)
    lines = [f"{'created' if name in created else 'present'}  {name}" for name in topics.all]
    return [*lines, f"fit: events and dispatches have {count} partitions each"]
