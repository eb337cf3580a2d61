"""`pause-notifications local`: run everything on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.command.noun import Work

_LAST_PORT = 65_000


@examples(
    "pause-notifications local",
    "pause-notifications local --fresh --replicas 3",
    "pause-notifications local --ports-from 9000",
)
def local(
    *,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the data and mails of earlier runs.")] = False,
    replicas: Annotated[int, typer.Option(min=1, max=8, help="How many replicas share the work.")] = 1,
    ports_from: Annotated[
        int | None, typer.Option(min=1, max=_LAST_PORT, metavar="N", help="Use the ports from N on instead.")
    ] = None,
    http_port: Annotated[
        int | None, typer.Option(min=1, max=_LAST_PORT, help="Port of the REST endpoints (8000).")
    ] = None,
    management_port: Annotated[
        int | None,
        typer.Option(
            min=1, max=_LAST_PORT, help="Port of the facade's probes and metrics; the replicas' follow (8001)."
        ),
    ] = None,
    ses_port: Annotated[
        int | None, typer.Option(min=1, max=_LAST_PORT, help="Port of the local SES and its mailbox (8025).")
    ] = None,
    sqs_port: Annotated[int | None, typer.Option(min=1, max=_LAST_PORT, help="Port of the local SQS (9324).")] = None,
    kafka_port: Annotated[
        int | None, typer.Option(min=1, max=_LAST_PORT, help="Port of the Kafka that is started (9092).")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder for data and logs, instead of .local.")
    ] = None,
) -> Work:
    """
    Run everything on this machine until Ctrl-C.

    It starts Kafka, a local SES with a mailbox page, a local SQS for SES's events, the facade and a replica, and loads
    sample contacts. No e-mail leaves this machine. Data and mails are kept in .local/ between runs, or in --data. If
    PAUSE_NOTIFICATIONS_KAFKA_BOOTSTRAP_SERVERS is set, the command uses that broker and starts none.
    """
    from deploy.command import local

    ports = {"http": http_port, "management": management_port, "ses": ses_port, "kafka": kafka_port, "sqs": sqs_port}
    return lambda: local.local(ports, ports_from=ports_from, replicas=replicas, fresh=fresh, data=data)
