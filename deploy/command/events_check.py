"""`pause-notifications events check`: judge records before they are published."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.support.output import print_json, print_line
from deploy.support.running import EXIT_FAILED, EXIT_USAGE, exit_with_error
from runtime.settings import env_name
from schemas.check import Checking, as_object, described, opened, parse_header
from schemas.placement import DEFAULT_PARTITIONS
from schemas.written_records import UnreadableRecord


def _header(text: str) -> tuple[str, bytes]:
    try:
        return parse_header(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@examples(
    "kcat -C -e -J -b kafka:9092 -t mentor.pauses.v1 | pause-notifications events check -",
    "pause-notifications events check event.json",
    "pause-notifications events check -H ce_type=mentor.pause.lifted.v1 -H ce_id=1 value.json",
)
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="kcat's output (-J), JSON Lines or one record; - stdin.")],
    *,
    headers: Annotated[
        list[str], typer.Option("--header", "-H", metavar="NAME=VALUE", help="FILE is a value; this is its header.")
    ] = [],  # noqa: B006 - typer reads the default, and nobody changes it
    partitions: Annotated[int, typer.Option(min=1, max=10_000, help="Partitions of the topic.")] = DEFAULT_PARTITIONS,
    namespace: Annotated[str, typer.Option(envvar=env_name("namespace"), help="What precedes the topics' names.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per record.")] = False,
) -> None:
    """
    Judge records without a broker: event or dead letter, why, which partition and dispatch, who gets an e-mail.

    The code of replicas decides. Exit code 0: each record is an event in its place. 1: one is not. 2: one is
    unreadable.
    """
    checking = Checking(partitions, namespace, [_header(text) for text in headers])
    right = True
    try:
        with opened(file) as source:
            for verdict in checking.verdicts(source):
                right = right and verdict.is_right
                if as_json:
                    print_json(as_object(verdict))
                    continue
                for line in described(verdict):
                    print_line(line)
    except (UnreadableRecord, OSError) as error:
        exit_with_error(str(error), EXIT_USAGE)
    if not right:
        raise typer.Exit(EXIT_FAILED)
