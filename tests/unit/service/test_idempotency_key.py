"""Idempotency keys, and the ids derived from them."""

from __future__ import annotations

import hashlib
import re

import pytest

from service.idempotency_key import KEY_PATTERN, event_id, format_key, parse_key
from service.problems import INVALID_KEY, Problem


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ([], None),
        (["abc"], "abc"),
        ([' "abc" '], "abc"),
        (["a b"], "a b"),
        (['a"b'], 'a"b'),
        ([r'"a\"b\\c"'], r'a"b\c'),
        (["k" * 255], "k" * 255),
    ],
)
def test_parse_key(values: list[str], key: str | None) -> None:
    """Bare and quoted keys are read, and published as valid; without a header there is no key."""
    assert key == parse_key(values)
    assert all(re.search(KEY_PATTERN, value.strip(" ")) for value in values)


@pytest.mark.parametrize(
    "values", [[""], ['""'], ["k" * 256], ['"open'], ['"a";p=1'], [r'"a\b"'], ["a\tb"], ["\xe9"], ["a", "a"]]
)
def test_invalid_key(values: list[str]) -> None:
    """Anything else is a problem, and each such value is published as invalid."""
    assert len(values) > 1 or not re.search(KEY_PATTERN, values[0])
    with pytest.raises(Problem) as caught:
        parse_key(values)

    assert INVALID_KEY is caught.value.kind


@pytest.mark.parametrize("key", ["abc", "a b", ' a "b" \\', '"'])
def test_format_key(key: str) -> None:
    """A formatted key is read as the same key."""
    assert key == parse_key([format_key(key)])


def test_event_id() -> None:
    """The id is the first 32 hex digits of SHA-256 over endpoint, caller, mentor and key, NUL-joined."""
    expected = hashlib.sha256(b"pause-lifted\0anonymous\0mentor-042\0k").hexdigest()[:32]

    assert expected == event_id("pause-lifted", "anonymous", "mentor-042", "k")
