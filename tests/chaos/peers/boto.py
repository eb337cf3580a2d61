"""Send by boto3, for the peers that use threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

DEFAULT_IN_FLIGHT = 64
"""Events of a batch by default."""

SENDS_PER_EVENT = 2

AGAIN_SECONDS = 1.0
"""How long a peer waits before it repeats sends that botocore has given up."""

log = structlog.get_logger(__name__)


def ses_client(*, sends: int) -> SESV2Client:
    """Return boto3's client with its defaults, but with a connection for each of *sends* at once."""
    return boto3.client("sesv2", config=Config(max_pool_connections=sends))


def send(client: SESV2Client, request: dict[str, Any]) -> bool:
    """Send, and return whether that is settled: accepted, or refused for good, which is logged."""
    try:
        client.send_email(**request)
    except (client.exceptions.MessageRejected, client.exceptions.BadRequestException) as error:
        log.warning("mail.refused", code=error.response["Error"]["Code"])
    except (ClientError, BotoCoreError) as error:
        log.warning("mail.not_sent", error=type(error).__name__)
        return False
    return True
