"""Run the local SQS: ``python -m deploy.local.sqs``."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated

import boto3
import typer
from moto import mock_aws
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from deploy.local.ports import HOST
from deploy.local.sqs.names import ACCOUNT, CREDENTIALS, DEAD_LETTER_QUEUE, QUEUE, REGION

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MAX_RECEIVES = 5  # before a message becomes a dead letter
VISIBILITY_SECONDS = 30
RETENTION_SECONDS = 14 * 24 * 3600

HELP = """Run moto's SQS with the queue of the local SES's events and its dead-letter queue, until Ctrl-C or SIGTERM.

Any credentials work. Messages are in memory: they end with the program. Point a client at it:

\b
  AWS_ENDPOINT_URL_SQS=http://127.0.0.1:9324 AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local
"""


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        """Log no requests: a replica asks without a pause."""


def serve(port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65_535)] = 9324) -> None:
    """Create the queues, then listen: a client that is answered finds them."""
    os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"  # no web page may read the queue
    with mock_aws():
        create_queues(
            boto3.client("sqs", region_name=REGION, aws_access_key_id=CREDENTIALS, aws_secret_access_key=CREDENTIALS)
        )
    app = DomainDispatcherApplication(create_backend_app)
    make_server(HOST, port, app, threaded=True, request_handler=_Quiet).serve_forever()


def create_queues(sqs: SQSClient) -> None:
    """Create the queue of events, which moves a message to a dead-letter queue after some receives."""
    common = {"MessageRetentionPeriod": str(RETENTION_SECONDS)}
    sqs.create_queue(QueueName=DEAD_LETTER_QUEUE, Attributes=common)
    redrive = {
        "deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{DEAD_LETTER_QUEUE}",
        "maxReceiveCount": MAX_RECEIVES,
    }
    attributes = {**common, "VisibilityTimeout": str(VISIBILITY_SECONDS), "RedrivePolicy": json.dumps(redrive)}
    sqs.create_queue(QueueName=QUEUE, Attributes=attributes)


def main() -> None:
    """Run the command line."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(help=HELP)(serve)
    app(prog_name="python -m deploy.local.sqs")


if __name__ == "__main__":
    main()
