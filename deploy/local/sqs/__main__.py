"""Run the local SQS: ``python -m deploy.local.sqs``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

HELP = """Run moto's SQS with the queue of the local SES's events and its dead-letter queue, until Ctrl-C or SIGTERM.

Any credentials work. Messages are in memory: they end with the program. Point a client at it:

\b
  AWS_ENDPOINT_URL_SQS=http://127.0.0.1:9324 AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local
"""


def serve(port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65_535)] = 9324) -> None:
    """Serve until a signal."""
    os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"  # no web page may read the queue

    from deploy.local.sqs import server  # noqa: PLC0415 - moto reads its settings when it is imported

    server.serve(port)


def main() -> None:
    """Run the command line."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(help=HELP)(serve)
    app(prog_name="python -m deploy.local.sqs")


if __name__ == "__main__":
    main()
