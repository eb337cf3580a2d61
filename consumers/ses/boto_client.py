"""boto3's client, which finds what AWS users configure and makes the control calls. The sender sends e-mails."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

CONNECT_SECONDS = 3.0

_USER_AGENT = f"pause-notifications Boto3/{boto3.__version__}"


def ses_client(*, timeout_seconds: float, max_in_flight: int, session: boto3.Session | None = None) -> SESV2Client:
    """
    Build boto3's client, which finds credentials, region and endpoint where AWS users expect it to.

    Each call is one attempt, whatever AWS_MAX_ATTEMPTS says, since botocore would send again after a lost answer. One
    connection more is for questions about the account. If boto3 finds no region, AWS_REGION counts, which containers
    have and boto3 does not read.

    Raises:
        botocore.exceptions.BotoCoreError: region, profile or endpoint is missing or wrong.
    """
    config = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=min(CONNECT_SECONDS, timeout_seconds),
        read_timeout=timeout_seconds,
        max_pool_connections=max_in_flight + 1,
        tcp_keepalive=True,
        user_agent=_USER_AGENT,
    )
    session = session or boto3.Session()
    region = session.region_name or os.environ.get("AWS_REGION")
    return session.client("sesv2", config=config, region_name=region)
