"""README, CONTRIBUTING and DESIGN are held to the code: their commands, links and examples exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from runtime.settings import ServiceSettings
from schemas.events import EVENTS_BY_NAME

ROOT = Path(__file__).parents[1]
DECISIONS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "decisions").glob("0*.md"))
LIST_OF_DECISIONS = "docs/decisions/README.md"
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "DESIGN.md",
    "SECURITY.md",
    "deploy/README.md",
    "deploy/SECURITY.md",
    "schemas/README.md",
    "docs/performance.md",
    "docs/reliability.md",
    "docs/testing.md",
    LIST_OF_DECISIONS,
    *DECISIONS,
)
DECISION_HEADINGS = ["Context", "Decision", "Consequences", "Alternatives"]


def text_of(page: str) -> str:
    """Return a page's text."""
    return (ROOT / page).read_text(encoding="utf-8")


def test_the_curl_is_the_contracts_own_example() -> None:
    """The README's curl posts the contract's example to its endpoint, on the facade's own port."""
    (call,) = re.findall(
        r"curl -s (\S+) \\\n +-H 'Content-Type: application/json' \\\n +-d '(.*)'", text_of("README.md")
    )
    kind = EVENTS_BY_NAME["pause-activated"]
    port = ServiceSettings().http_port

    assert f"http://127.0.0.1:{port}/api/v1/pause-notifications/{kind.name}" == call[0]
    assert kind.example == json.loads(call[1])


def test_the_answer_has_the_contracts_fields_in_order() -> None:
    """The README's answer has exactly the contract's fields, in its order."""
    (answer,) = re.findall(r"```json\n(.*?)```", text_of("README.md"), re.DOTALL)

    assert ["mentor_id", "notifications_dispatched", "dispatched_at"] == list(json.loads(answer))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Every relative link of a page names a file that is there."""
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text_of(page))

    assert [] == [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]


def anchor(heading: str) -> str:
    """Return the anchor that a heading gets on the repository's page."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_anchors_lead_to_headings(page: str) -> None:
    """Every link to a part of a page names a heading that is there."""
    links = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", text_of(page))
    headings = {
        (target, part): re.findall(
            r"^#+ (.*)$",
            text_of(page) if not target else (ROOT / page).parent.joinpath(target).read_text("utf-8"),
            re.MULTILINE,
        )
        for target, part in links
    }

    assert [] == [link for link, there in headings.items() if link[1] not in map(anchor, there)]


@pytest.mark.parametrize("page", DECISIONS)
def test_a_decision_has_its_parts(page: str) -> None:
    """A decision record has its status, its date and four headings, in order."""
    text = text_of(page)

    assert DECISION_HEADINGS == re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert re.search(r"^- Status: \w+\n- Date: \d{4}-\d{2}-\d{2}$", text, re.MULTILINE)


def test_every_decision_is_listed() -> None:
    """The list of decisions has a row for each record, under its number."""
    rows = re.findall(r"^\| \[(\d+)\]\(((\d{4})-[\w-]+\.md)\) \|", text_of(LIST_OF_DECISIONS), re.MULTILINE)

    assert DECISIONS == [f"docs/decisions/{path}" for _, path, _ in rows]
    assert [] == [path for number, path, prefix in rows if int(number) != int(prefix)]


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page: str) -> None:
    """Every `make` verb that a page names is one of the Makefile's."""
    verbs = set(re.findall(r"(?:`|\n)make ([a-z-]+)", text_of(page)))
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))

    assert set() == verbs - targets


@pytest.mark.parametrize(("heading", "room"), [("The replica", "consumers"), ("The facade", "service")])
def test_modules_that_the_design_names_exist(heading: str, room: str) -> None:
    """Every module and folder that DESIGN's map of a room names is there."""
    (section,) = re.findall(rf"^### {heading}\n(.*?)^#", text_of("DESIGN.md"), re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`([a-z_]+)/?`", section))
    there = {path.stem for path in (ROOT / room).rglob("*")}

    assert len(named) > 10
    assert set() == named - there


def test_files_that_the_design_names_exist() -> None:
    """Every path that DESIGN names is there."""
    named = set(re.findall(r"`((?:schemas|runtime|service|consumers|deploy|tests)/[\w/.]+\.py)`", text_of("DESIGN.md")))

    assert [] == sorted(name for name in named if not (ROOT / name).exists())
