"""A short run of `python -m tests.fuzz heads`."""

from __future__ import annotations

import pytest

from tests.fuzz.heads import answers, fuzz

_SEED, _SECONDS = 20_261_128, 3.0


def test_heads() -> None:
    """A port survives some seconds of bad requests, and answers with several statuses."""
    told = fuzz(_SEED, _SECONDS)

    assert [] == [status for status in ("x 200", "x 400", "x 431", "x 413", "closed") if status not in told]


@pytest.mark.parametrize(
    "heard",
    [b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"hello"],
)
def test_what_is_no_answer_is_seen(heard: bytes) -> None:
    """An incomplete or invalid response is found."""
    with pytest.raises(ValueError, match="answer"):
        answers(heard)
