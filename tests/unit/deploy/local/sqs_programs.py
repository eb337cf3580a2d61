"""Run the local SQS for tests, as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
import httpx
from botocore.config import Config

from deploy.local.ports import free_ports
from deploy.local.sqs.names import CREDENTIALS, REGION, endpoint

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a module of Python, and kill it at the end."""
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def local_sqs() -> Iterator[int]:
    """Run a local SQS, and yield its port once it answers."""
    (port,) = free_ports(1)
    transport = httpx.HTTPTransport(retries=10)  # refused connections, with a pause that doubles
    with program("deploy.local.sqs", "--port", str(port)), httpx.Client(transport=transport, timeout=30) as http:
        http.get(f"{endpoint(port)}/livez").raise_for_status()
        yield port


def sqs_client(address: str) -> SQSClient:
    """Return a boto3 client with a single attempt per call, as in the replica."""
    return boto3.client(
        "sqs",
        endpoint_url=address,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS,
        aws_secret_access_key=CREDENTIALS,
        config=Config(retries={"total_max_attempts": 1, "mode": "standard"}, read_timeout=25),
    )
