"""moto's server with the queue of SES's events and its dead-letter queue."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import boto3
from moto import mock_aws
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from deploy.local.ports import HOST
from deploy.local.sqs.names import ACCOUNT, CREDENTIALS, DEAD_LETTER_QUEUE, QUEUE, REGION
from deploy.local.sqs.one_at_a_time import OneAtATime

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MAX_RECEIVES = 5  # before a message becomes a dead letter
VISIBILITY_SECONDS = 30
RETENTION_SECONDS = 14 * 24 * 3600


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        """Log no requests: a replica asks without a pause."""


def serve(port: int) -> None:
    """Create the queues, then listen: a client that is answered finds them. Return never."""
    here = mock_aws()
    here.start()
    create_queues(
        boto3.client("sqs", region_name=REGION, aws_access_key_id=CREDENTIALS, aws_secret_access_key=CREDENTIALS)
    )
    here.stop(remove_data=False)
    app = OneAtATime(DomainDispatcherApplication(create_backend_app))
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
