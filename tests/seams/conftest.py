"""Fixtures of the suites that run over several senders."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.aws_data import read_once
from tests.seams.email_senders import BUILDS, Build


@pytest.fixture(name="build", params=BUILDS)
def _build(request: pytest.FixtureRequest) -> Build:
    """Return the builder of boto3's sender, then of ours."""
    return BUILDS[request.param]


@pytest.fixture(scope="package", autouse=True)
def _read_once() -> Iterator[None]:
    """Spare each test the reading of AWS's descriptions."""
    with read_once():
        yield
