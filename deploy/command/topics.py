"""`pause-notifications topics`: the five topics, made on purpose and never by accident."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.command.topic_differences import differences
from deploy.support.connections import admin_client, topics_of
from deploy.support.output import say
from deploy.support.running import run
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
        int | None,
        typer.Option(
            min=1,
            max=1000,
            help=f"Partitions of each topic, so the most replicas that share work; {DEFAULT_PARTITIONS} by default.",
        ),
    ] = None,
    replication_factor: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=32767,
            help="Copies of each record; 3 in production, of which 2 acknowledge; 1 by default.",
        ),
    ] = None,
) -> None:
    """
    Create the topics that are missing and check all five; may be repeated.

    Topics that are there are left as they are, and what differs about them is said with what puts it right. Partitions
    are never added in place, since a mentor's events would then lie in two of them.
    """

    async def work(settings: Settings) -> None:
        for line in await create_and_check(settings, partitions=partitions, replication_factor=replication_factor):
            say(line)

    run(work)


async def create_and_check(
    settings: Settings, *, partitions: int | None = None, replication_factor: int | None = None
) -> list[str]:
    """
    Create what is missing and check all; return a line per topic, and one for each thing that differs.

    Raises:
        UnfitTopics: A topic cannot be made, or is of no use.
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
        lines += [f"differs  {one.topic}: {one.says}", f"    -> {one.advice}"]
    return [*lines, f"fit: events and dispatches have {count} partitions each"]
