"""`pause-notifications topics`: create and check the eight topics."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.command.noun import Noun, Work
from schemas.placement import DEFAULT_PARTITIONS

app = Noun("Create and check the topics.")


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
            help=f"Partitions of each topic: the most replicas that can share work; {DEFAULT_PARTITIONS} by default.",
        ),
    ] = None,
    replication_factor: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=32767,
            help="Copies of each record: 3 in production, of which 2 must acknowledge; 1 by default.",
        ),
    ] = None,
) -> Work:
    """
    Create the topics that are missing, and check all eight; safe to repeat.

    Topics that exist are not changed. Each difference from what this command creates is printed with how to fix it.
    Partitions are never added to a topic: a mentor's events would then be in two partitions.
    """
    from deploy.command import topics

    return lambda: topics.create(partitions, replication_factor)
