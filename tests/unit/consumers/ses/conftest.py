from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.aws_data import read_once


@pytest.fixture(scope="package", autouse=True)
def _read_once() -> Iterator[None]:
    """Spare each test the reading of AWS's descriptions."""
    with read_once():
        yield
