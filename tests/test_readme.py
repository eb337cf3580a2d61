"""README, CONTRIBUTING and DESIGN are held to the code: their commands, links and examples exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from runtime.settings import ServiceSettings
from schemas.events import EVENTS_BY_NAME

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "DESIGN.md",
    "SECURITY.md",
    "docs/performance.md",
    "docs/reliability.md",
    "deploy/README.md",
    "deploy/SECURITY.md",
    "schemas/README.md",
)


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


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page: str) -> None:
    """Every `make` verb that a page names is one of the Makefile's."""
    verbs = set(re.findall(r"(?:`|\n)make ([a-z-]+)", text_of(page)))
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))

    assert set() == verbs - targets


def test_files_that_the_design_names_exist() -> None:
    """Every file that DESIGN names is there."""
    named = set(re.findall(r"`((?:schemas|runtime|service|consumers|deploy|tests)/[\w/.]+\.py)`", text_of("DESIGN.md")))

    assert len(named) > 3
    assert [] == sorted(name for name in named if not (ROOT / name).exists())
