"""Run the local SQS: ``python -m deploy.local.sqs``."""

from __future__ import annotations

import time
from typing import Annotated

import typer
import uvicorn

from deploy.local.ports import HOST
from deploy.local.ses.connection import Connection
from deploy.local.sqs.api import LocalSqs

HELP = """Run a local SQS with the queue of the local SES's events and its dead-letter queue, until Ctrl-C or SIGTERM.

Any credentials work. Messages are in memory: they end with the program. Point a client at it:

\b
  AWS_ENDPOINT_URL_SQS=http://127.0.0.1:9324 AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local
"""
STOP_SECONDS = 1  # for receivers that wait for messages


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = HOST,
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65_535)] = 9324,
) -> None:
    """Serve until a signal."""
    uvicorn.run(
        LocalSqs(time.time),
        host=host,
        port=port,
        http=Connection,
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=STOP_SECONDS,
        server_header=False,
    )


def main() -> None:
    """Run the command line."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(help=HELP)(serve)
    app(prog_name="python -m deploy.local.sqs")


if __name__ == "__main__":
    main()
