"""Fixtures of the suites that run over several senders."""

from __future__ import annotations

import pytest

from tests.seams.email_senders import BUILDS, Build


@pytest.fixture(name="build", params=BUILDS)
def _build(request: pytest.FixtureRequest) -> Build:
    """Return the builder of boto3's sender, then of ours."""
    return BUILDS[request.param]
