"""The published OpenAPI document and the page made of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from schemas.events import EVENTS, EventType
from service.app import openapi_document
from service.pages import docs_page
from service.problems import PROBLEM_TYPES
from tests.fakes.facade import BASE, fake_facade


@pytest.fixture(name="document", scope="module")
def _document() -> dict[str, Any]:
    return openapi_document()


def test_valid(document: dict[str, Any]) -> None:
    """The document is valid OpenAPI."""
    validate(document)


def test_paths(document: dict[str, Any]) -> None:
    """It holds the short paths alone, and says that there are doubled ones."""
    expected = {*(f"{BASE}/{kind.name}" for kind in EVENTS), f"{BASE}/dispatches/{{dispatch_id}}"}

    assert expected == set(document["paths"])
    assert f"{BASE}{BASE}" in document["info"]["description"]


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.name)
def test_examples(document: dict[str, Any], kind: EventType) -> None:
    """Every example fits its own schema, and the request's is the contract's."""
    operation = document["paths"][f"{BASE}/{kind.name}"]["post"]
    request = operation["requestBody"]["content"]["application/json"]

    assert kind.example == request["example"]
    _check(request["schema"], request["example"])
    for response in operation["responses"].values():
        for media in response["content"].values():
            examples = [one["value"] for one in media.get("examples", {}).values()]
            for example in [media["example"], *examples] if "example" in media else examples:
                _check(media["schema"], example)


def _check(schema: dict[str, Any], example: Any) -> None:
    assert [] == list(Draft202012Validator(schema).iter_errors(example))


def test_every_problem_is_documented(document: dict[str, Any]) -> None:
    """Every problem of an endpoint stands among its answers; the two of other paths cannot."""
    text = str(document)

    missing = {kind.slug for kind in PROBLEM_TYPES if f"/problems/{kind.slug}" not in text}
    assert {"no-such-endpoint", "method-not-allowed"} == missing


def test_page_fetches_nothing(document: dict[str, Any]) -> None:
    """The page of the documentation names every path and has neither script nor foreign address."""
    page = docs_page(document)

    assert [] == [path for path in document["paths"] if path not in page]
    assert [] == re.findall(r"<script|<link|<img|https?://", page)


async def test_served() -> None:
    """The document and its page are served."""
    async with fake_facade() as setup:
        document, page = await setup.client.get("/openapi.json"), await setup.client.get("/docs")

    assert (200, 200) == (document.status_code, page.status_code)
    assert openapi_document() == document.json()
