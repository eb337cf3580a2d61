"""`pause-notifications topics`: the five topics, made on purpose and never by accident."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.support.output import say
from deploy.support.running import run
from deploy.support.topic_creation import create_and_check
from runtime.kafka.topics import DEFAULT_PARTITIONS
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
