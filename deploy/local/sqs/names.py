"""The AWS account of this machine: what the local SQS has, and what the local SES writes into its events."""

from __future__ import annotations

from deploy.local.ports import HOST

ACCOUNT = "123456789012"  # moto's
REGION = "us-east-1"
CREDENTIALS = "local"  # nothing checks them

QUEUE = "pause-notifications-ses-events"
DEAD_LETTER_QUEUE = f"{QUEUE}-dead-letters"
TOPIC_ARN = f"arn:aws:sns:{REGION}:{ACCOUNT}:{QUEUE}"
CONFIGURATION_SET = "pause-notifications"


def endpoint(port: int) -> str:
    """Return the address of the local SQS."""
    return f"http://{HOST}:{port}"


def queue_url(port: int, name: str = QUEUE) -> str:
    """Return the URL of a queue of the local SQS."""
    return f"{endpoint(port)}/{ACCOUNT}/{name}"
