"""How long a caller wants to wait."""

from __future__ import annotations

import pytest

from service.prefer_header import Wait, parse_prefer


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Wait(4.0)),
        (["wait=10"], Wait(10, 10)),
        (["WAIT = 0"], Wait(0, 0)),
        (['wait="7"; x=1'], Wait(7, 7)),
        (["respond-async, wait=5, wait=9"], Wait(5, 5)),
        (["respond-async", "wait=5"], Wait(5, 5)),
        (["wait=31"], Wait(30, 30)),
        (["wait=999999999"], Wait(30, 30)),
        (['x="a, wait=9"'], Wait(4.0)),
        (["wait"], Wait(4.0)),
        (["wait=-1"], Wait(4.0)),
        (["wait=1.5"], Wait(4.0)),
        (["wait=abc"], Wait(4.0)),
        (["wait="], Wait(4.0)),
        (["wait=soon, wait=2"], Wait(2, 2)),
        ([',,"'], Wait(4.0)),
        (["await=3"], Wait(4.0)),
    ],
)
def test_parse_prefer(values: list[str], expected: Wait) -> None:
    """The first valid wait counts, up to the maximum; without one the default applies."""
    assert expected == parse_prefer(values, default_seconds=4.0)


def test_headers() -> None:
    """Only a preference that is applied is confirmed."""
    assert [{}, {"Preference-Applied": "wait=3"}] == [Wait(4.0).headers, Wait(3, 3).headers]
