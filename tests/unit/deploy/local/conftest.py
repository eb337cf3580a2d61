"""A local SES on a real port, one for all tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from deploy.local.ses.app import create_app
from deploy.local.ses.server import running
from tests.unit.deploy.local.ses_client import LocalSesClient, boto3_client

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package", name="shared_ses")
def _shared_ses() -> Iterator[LocalSesClient]:
    """Run one local SES for the whole folder."""
    with running(create_app()) as address, httpx.Client(base_url=address, timeout=5) as http:
        ses = boto3_client(address)
        yield LocalSesClient(address, ses, http)
        ses.close()


@pytest.fixture(name="local_ses")
def _local_ses(shared_ses: LocalSesClient) -> LocalSesClient:
    """Return the local SES without faults and mails."""
    shared_ses.reset()
    return shared_ses
