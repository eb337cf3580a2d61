"""`pause-notifications events check`: judge records before they are published."""

from __future__ import annotations

import typer

from deploy.support.output import print_json, print_line
from deploy.support.running import EXIT_FAILED, EXIT_USAGE, exit_with_error
from schemas.check import Checking, as_object, described, opened, reason_of
from schemas.headers import Headers
from schemas.written_records import UnreadableRecord


def check(file: str, *, headers: Headers, partitions: int, namespace: str, as_json: bool) -> None:
    """Judge records without a broker: event or dead letter, why, which partition and dispatch, who gets an e-mail."""
    checking = Checking(partitions, namespace, headers)
    right = True
    try:
        with opened(file) as source:
            for judgement in checking.judgements(source):
                right = right and judgement.is_right
                if as_json:
                    print_json(as_object(judgement))
                    continue
                for line in described(judgement):
                    print_line(line)
    except BrokenPipeError:  # whoever reads the judgements has read enough
        raise
    except (UnreadableRecord, OSError) as error:
        exit_with_error(reason_of(error), EXIT_USAGE)
    if not right:
        raise typer.Exit(EXIT_FAILED)
