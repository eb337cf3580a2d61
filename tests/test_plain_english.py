"""The language of docstrings and documents: plain, short, in the field's words."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "DESIGN.md", "CONTRIBUTING.md", "deploy/README.md", "schemas/README.md", "docs/testing.md")
MOST_WORDS = 30
MOST_WORDS_OF_DESIGN = 1800

_NOT_IMPERATIVE = re.compile(r"(Gives?\b(?! (up|back)\b)|Says?\b|Tells? whether\b)")


def _tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.splitlines()]


def _docstrings(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


def prose(page: str | Path) -> Iterator[str]:
    """Yield a page's paragraphs and list items, without code, tables, headings and the targets of links."""
    text = (ROOT / page).read_text("utf-8")
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        stripped = line.strip()
        begins_item = re.match(r"([-*]|\d+\.)\s", stripped)
        if not stripped or begins_item or stripped.startswith(("#", "|", "![")):
            if block:
                yield " ".join(block)
            block = []
        if stripped and not stripped.startswith(("#", "|", "![")):
            block.append(stripped)


def sentences(text: str) -> list[str]:
    """Return the sentences of a paragraph; what stands in backticks is one word."""
    plain = re.sub(r"`[^`]*`", "code", text).replace("*", "")
    return re.split(r"(?<=[.!?])\s+(?=[A-Z(\[0-9]|code\b)", plain)


def words(sentence: str) -> int:
    """Return how many words a sentence has."""
    return len(re.findall(r"[\w'/%.-]*\w[\w'/%.-]*", sentence))


def test_no_docstring_gives_or_says() -> None:
    """Docstrings are imperative: Return, Yield, Raise, Check."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in _tracked("*.py")
        for line, text in _docstrings(path)
        if _NOT_IMPERATIVE.match(text)
    ]

    assert [] == found


@pytest.mark.parametrize("page", PAGES)
def test_sentences_are_short(page: str) -> None:
    """No sentence of a page has more than 30 words."""
    long = [one for text in prose(page) for one in sentences(text) if words(one) > MOST_WORDS]

    assert [] == long


def test_the_design_is_short() -> None:
    """DESIGN has at most 1,800 words, without the bars of its tables."""
    text = (ROOT / "DESIGN.md").read_text("utf-8")

    assert words(text) <= MOST_WORDS_OF_DESIGN
