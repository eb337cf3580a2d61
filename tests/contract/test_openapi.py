"""The published OpenAPI document and the page made of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from deploy.contracts.export import FOLDER
from runtime.settings import ReplicaSettings
from schemas.events import EVENTS, EventType, Role
from schemas.suppressions import SuppressionReason
from service import problems
from service.app import openapi_document
from service.html_pages import docs_page, problem_page
from service.problems import PROBLEM_TYPES, ProblemType
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
    _check(document, request["schema"], request["example"])
    for response in operation["responses"].values():
        for media in response["content"].values():
            examples = [one["value"] for one in media.get("examples", {}).values()]
            for example in [media["example"], *examples] if "example" in media else examples:
                _check(document, media["schema"], example)


def _check(document: dict[str, Any], schema: dict[str, Any], example: Any) -> None:
    whole = {**schema, "components": document["components"]}
    assert [] == list(Draft202012Validator(whole).iter_errors(example))


def test_every_schema_is_a_component(document: dict[str, Any]) -> None:
    """Bodies and answers refer to components, each of which is used, so that a generator makes one type of each."""
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    bodies = [operation["requestBody"] for operation in operations if "requestBody" in operation]
    answers = [answer for operation in operations for answer in operation["responses"].values()]
    written = [media["schema"] for one in (*bodies, *answers) for media in one["content"].values()]

    assert [] == [schema for schema in written if schema.keys() != {"$ref"}]
    used = set(re.findall(r"#/components/(\w+)/([\w-]+)", str(document)))
    assert used == {(kind, name) for kind, named in document["components"].items() for name in named}


def test_every_operation_has_a_tag(document: dict[str, Any]) -> None:
    """Each operation has one of the tags, which are described."""
    operations = [operation for path in document["paths"].values() for operation in path.values()]

    assert {tag["name"] for tag in document["tags"]} == {tag for one in operations for tag in one["tags"]}
    assert all(tag["description"] for tag in document["tags"])


@pytest.mark.parametrize("reason", SuppressionReason)
def test_reasons_of_suppressed_are_described(document: dict[str, Any], reason: SuppressionReason) -> None:
    """The description says what each reason of `suppressed` means."""
    described = document["info"]["description"].partition("A recipient is `suppressed`")[2].partition("\n\n")[0]

    assert f"`{reason.value}` (" in described


def test_every_problem_is_documented(document: dict[str, Any]) -> None:
    """Every problem of an endpoint is among its documented answers; the two of other paths cannot be."""
    text = str(document)

    missing = {kind.slug for kind in PROBLEM_TYPES if f"/problems/{kind.slug}" not in text}
    assert {"no-such-endpoint", "method-not-allowed"} == missing


def test_page_fetches_nothing(document: dict[str, Any]) -> None:
    """The documentation page names every path, and loads nothing from elsewhere."""
    page = docs_page(document)

    assert [] == [path for path in document["paths"] if path not in page]
    assert [] == re.findall(r"(?:src|href)=.https?:", page)


def test_page_marks_code(document: dict[str, Any]) -> None:
    """Text in backticks is shown as code, on the documentation page and on the pages of problems."""
    pages = [docs_page(document), *(problem_page(kind) for kind in PROBLEM_TYPES)]

    assert [] == [page for page in pages if "`" in page]
    assert "<code>Idempotency-Key</code>. A call repeated" in pages[0]


@pytest.mark.parametrize("words", ["Idempotency-Key", "60 seconds", "in between", "404 or a 502", "the mentor alone"])
def test_retries_are_described(document: dict[str, Any], words: str) -> None:
    """The description says which calls count as retries, which do not, and what may be missing from a 202."""
    assert words in document["info"]["description"]


def test_described_times_are_the_defaults(document: dict[str, Any]) -> None:
    """The times that the description names are those of the settings."""
    defaults = {name: field.default for name, field in ReplicaSettings.model_fields.items()}

    assert f"less than {defaults['retry_window_seconds']:.0f} seconds" in document["info"]["description"]
    assert 7 * 24 == defaults["remember_hours"]
    assert "remembered (a week" in document["info"]["description"]


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.name)
def test_accepted_may_lack_the_coordinator(document: dict[str, Any], kind: EventType) -> None:
    """The 202 says that the coordinator may be missing only if one is notified."""
    accepted = document["paths"][f"{BASE}/{kind.name}"]["post"]["responses"]["202"]["description"]

    assert (Role.COORDINATOR in kind.roles) == ("coordinator" in accepted)


async def test_served() -> None:
    """The document and its page are served."""
    async with fake_facade() as setup:
        document, page = await setup.client.get("/openapi.json"), await setup.client.get("/docs")

    assert 200 == document.status_code
    assert 200 == page.status_code
    assert openapi_document() == document.json()


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (problems.NOT_PUBLISHED, "Repeat it with the same"),
        (problems.TOO_MANY_OF_ONE_CALLER, "Repeat it with the same"),
        (problems.INVALID_REQUEST, "Do not repeat it as it is"),
        (problems.UNKNOWN_MENTOR, "Do not repeat it as it is"),
    ],
    ids=lambda value: getattr(value, "slug", None),
)
def test_problem_says_whether_to_repeat(kind: ProblemType, says: str) -> None:
    """The page of a problem has the row of the retry rules that applies to its status, and leads to all answers."""
    page = problem_page(kind)

    assert says in page
    assert '<a href="/docs#answers">' in page


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.name)
async def test_event_schemas_are_served(kind: EventType) -> None:
    """The JSON Schema of each event type is served as it is published."""
    async with fake_facade() as setup:
        served = await setup.client.get(f"/schemas/{kind.type}")

    assert (FOLDER / "json" / f"{kind.type}.json").read_bytes() == served.content


@pytest.mark.parametrize("path", ["/schemas/nothing", "/schemas/..%2Fopenapi", "/docs/assets/__init__.py"])
async def test_other_files_are_not_served(path: str) -> None:
    """Only the published schemas and the viewer's files are served."""
    async with fake_facade() as setup:
        served = await setup.client.get(path)

    assert served.status_code in {400, 404}


@pytest.mark.parametrize(
    "path", ["/docs", "/docs/events", "/schemas/contact", "/docs/assets/start.js", "/problems/not-json"]
)
async def test_pages_answer_head(path: str) -> None:
    """A page answers HEAD as it answers GET."""
    async with fake_facade() as setup:
        head, page = await setup.client.head(path), await setup.client.get(path)

    assert 200 == head.status_code
    assert page.headers["content-length"] == head.headers["content-length"]


@pytest.mark.parametrize(
    "says",
    [
        "A body without a content type is read as JSON, too, with one exception",
        "A caller who hangs up frees it",
        "A caller then reads only its own dispatches",
        "an operator&#x27;s key reads all",
        "The same <code>Idempotency-Key</code> of two callers makes two events",
        "<code>too-many-of-one-caller</code>",
        "<code>too-many-wrong-keys</code>",
    ],
)
def test_page_says(document: dict[str, Any], says: str) -> None:
    """The page tells callers what a key may read, and what hanging up does."""
    assert says in docs_page(document)
