"""`pause-notifications local`: everything on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.support.running import refuse


@examples(
    "pause-notifications local",
    "pause-notifications local --fresh --replicas 3",
    "pause-notifications local --http-port 9000",
)
def local(
    *,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the data and mails of former runs.")] = False,
    replicas: Annotated[int, typer.Option(min=1, max=8, help="How many replicas share the work.")] = 1,
    http_port: Annotated[int, typer.Option(min=1, max=65_000, help="Port of the REST endpoints.")] = 8000,
    management_port: Annotated[
        int, typer.Option(min=1, max=65_000, help="Port of the facade's probes and metrics; the replicas' follow.")
    ] = 8001,
    ses_port: Annotated[int, typer.Option(min=1, max=65_000, help="Port of the local SES and its mailbox.")] = 8025,
    kafka_port: Annotated[int, typer.Option(min=1, max=65_000, help="Port of the Kafka that is started.")] = 9092,
) -> None:
    """
    Run everything on this machine until Ctrl-C.

    That is Kafka, a local SES with its mailbox page, the facade, a replica and sample contacts. No e-mail leaves it.
    Data is kept in .local/ between runs. With PAUSE_NOTIFICATIONS_KAFKA_BOOTSTRAP_SERVERS set, that broker is used
    instead of one started here.
    """
    try:
        from deploy.local.addresses import Ports  # noqa: PLC0415 - not in the installed package
        from deploy.local.stack import run_stack  # noqa: PLC0415 - nor this
    except ModuleNotFoundError as error:
        refuse(_absent(error))
    ports = Ports(http=http_port, management=management_port, ses=ses_port, kafka=kafka_port)
    raise typer.Exit(run_stack(ports, replicas=replicas, fresh=fresh))


def _absent(error: ModuleNotFoundError) -> str:
    if (error.name or "").startswith("deploy.local"):
        return "the local stack is no part of the installed package: clone the repository, and there run: make run"
    return f"the local stack needs {error.name}: in the repository, run: make install"
