"""Checking request bodies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from schemas.events import EVENTS_BY_NAME
from service.problems import INVALID_REQUEST, NOT_JSON, TOO_LARGE, TOO_SLOW, Problem
from service.request_body import check_stated_type, parse_json, read_body, validate


async def _chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _endless(taken: list[int]) -> AsyncIterator[bytes]:
    while True:
        taken.append(1)
        yield b"x" * 10


async def _silent() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def _gone() -> AsyncIterator[bytes]:
    yield b"{"
    raise ClientDisconnect


class TestReadBody:
    """Reading a body as it streams in."""

    async def test_whole(self) -> None:
        """Chunks are joined, up to the limit itself."""
        assert b"abcd" == await read_body(_chunks(b"ab", b"cd"), at_most=4)

    async def test_stops_at_the_limit(self) -> None:
        """Reading stops as soon as the body is too large."""
        taken: list[int] = []

        with pytest.raises(Problem) as caught:
            await read_body(_endless(taken), at_most=25)

        assert TOO_LARGE == caught.value.kind
        assert 3 == len(taken)

    async def test_stated_length(self) -> None:
        """A stated length that is too large is refused before anything is read."""
        taken: list[int] = []

        with pytest.raises(Problem) as caught:
            await read_body(_endless(taken), content_length="26", at_most=25)

        assert TOO_LARGE == caught.value.kind
        assert 0 == len(taken)

    @pytest.mark.parametrize("chunks", [_silent, _gone])
    async def test_never_arrives(self, chunks: type[AsyncIterator[bytes]]) -> None:
        """A body that does not arrive, or whose caller disconnects, is refused."""
        with pytest.raises(Problem) as caught:
            await read_body(chunks(), deadline_seconds=0.01)

        assert TOO_SLOW is caught.value.kind


@pytest.mark.parametrize(
    "stated",
    [None, "", "application/json", "APPLICATION/JSON; charset=UTF-8", "application/cloudevents+json", "text/json"],
)
def test_json_content_types(stated: str | None) -> None:
    """JSON content types are accepted, and so is a body without a type."""
    check_stated_type(stated, None)


@pytest.mark.parametrize(
    ("stated", "encoding"),
    [("text/plain", None), ("application/jsonp", None), ("application/json;charset=utf-16", None), (None, "gzip")],
)
def test_other_content_types(stated: str | None, encoding: str | None) -> None:
    """Any other content type is refused."""
    with pytest.raises(Problem):
        check_stated_type(stated, encoding)


@pytest.mark.parametrize(
    ("stated", "received"),
    [
        ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded"),
        ("Text/Plain; charset=secret", "text/plain"),
        ("text/\x07pl\xe4in", "text/plin"),
        ("x" * 200, "x" * 100),
        ("; charset=utf-8", "no media type"),
    ],
)
def test_received_content_type(stated: str, received: str) -> None:
    """A refusal names the media type that was received, without parameters, shortened and printable."""
    with pytest.raises(Problem) as caught:
        check_stated_type(stated, None)

    expected = f"Content-Type: must be application/json, or absent; received: {received}"
    assert expected == caught.value.detail


@pytest.mark.parametrize(
    "body", [b"[1,]", b"nul", b'{"a":Infinity}', b'{"a":{"b":1,"b":1}}', b"{" * 100, b"\xef\xbb\xbf{}"]
)
def test_not_strict_json(body: bytes) -> None:
    """A body that two parsers might read differently is refused."""
    with pytest.raises(Problem) as caught:
        parse_json(body)

    assert NOT_JSON is caught.value.kind


def _refused(name: str, parsed: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        validate(EVENTS_BY_NAME[name].model, parsed)
    return caught.value


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("pause-lifted", {"mentor_id": 42}, "must be a string"),
        ("pause-lifted", {"mentor_id": "\ud800"}, "must hold whole Unicode characters"),
        ("pause-lifted", {"mentor_id": ""}, "must not be empty"),
        ("pause-lifted", {"mentor_id": " "}, "must not be empty"),
        ("pause-lifted", {"mentor_id": "m" * 129}, "must have at most 128 characters"),
        ("cert-expiry-reminder", {"days_remaining": -1}, "must be at least 0"),
        ("cert-expiry-reminder", {"days_remaining": 3651}, "must be at most 3650"),
        ("cert-expiry-reminder", {"days_remaining": 1.5}, "must be a whole number"),
    ],
)
def test_wrong_fields_are_described_in_one_way(name: str, change: dict[str, Any], expected: str) -> None:
    """Errors of fields use the contract's words, whichever check found them."""
    problem = _refused(name, {**EVENTS_BY_NAME[name].example, **change})

    assert [expected] == [one["detail"] for one in problem.members["errors"]]


@pytest.mark.parametrize(
    ("name", "parsed", "expected"),
    [
        ("pause-lifted", {}, "1 field of the body is missing or wrong."),
        ("pause-activated", {}, "3 fields of the body are missing or wrong."),
        ("pause-lifted", [1], "The body is JSON, but not a JSON object."),
        ("pause-lifted", None, "The body is JSON, but not a JSON object."),
    ],
)
def test_errors_are_summed_up(name: str, parsed: Any, expected: str) -> None:
    """The detail counts the wrong fields, or says that the body is not an object."""
    assert expected == _refused(name, parsed).detail


def test_missing_fields() -> None:
    """Each missing field has an error."""
    expected = [{"pointer": "/mentor_id", "detail": "is missing"}, {"pointer": "/expiry_date", "detail": "is missing"}]

    assert expected == _refused("cert-expiry", {}).members["errors"]


def test_values_are_not_repeated() -> None:
    """The errors of a body name its fields, never its values."""
    with pytest.raises(Problem) as caught:
        validate(EVENTS_BY_NAME["cert-expiry"].model, {"mentor_id": ["secret"], "expiry_date": "secret"})

    assert INVALID_REQUEST is caught.value.kind
    assert "secret" not in str(caught.value.members) + caught.value.detail
