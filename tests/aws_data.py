"""AWS's descriptions of its services, read once: botocore reads half a second long for each session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from unittest.mock import patch

from botocore.loaders import create_loader


@contextmanager
def read_once() -> Iterator[None]:
    """Let all sessions of botocore share what they have read."""
    with patch("botocore.session.create_loader", cache(create_loader)):
        yield
