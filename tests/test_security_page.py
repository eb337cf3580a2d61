"""The tests that the table of threats names exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from runtime.kafka.topics import CONFIGS
from schemas import headers as names

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "deploy" / "SECURITY.md").read_text(encoding="utf-8")
_NAMED = re.compile(r"`(tests/[\w/]+\.py)((?:::\w+)+)`")


@cache
def _tests_of(path: str) -> frozenset[str]:
    """Return the tests of a file, those of a class after its name."""
    found = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        found.add(f"::{node.name}" if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) else "")
        if isinstance(node, ast.ClassDef):
            methods = (one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"::{node.name}::{method.name}" for method in methods}
    return frozenset(found)


def test_every_test_that_the_page_names_is_there() -> None:
    """Each threat names a test of the suite."""
    assert [] == [path + test for path, test in _NAMED.findall(PAGE) if test not in _tests_of(path)]


def test_every_threat_names_a_test() -> None:
    """Every row names a test."""
    rows = re.findall(
        r"^\| (?!threat|---)(.*) \|$", PAGE.partition("## Threats")[2].partition("\n## ")[0], re.MULTILINE
    )

    assert rows
    assert [] == [row for row in rows if not _NAMED.search(row) and "make chaos" not in row]


def test_every_header_of_ours_stands_on_the_page() -> None:
    """The page says of each header who may write it, and what proves it."""
    ours = {value for value in vars(names).values() if isinstance(value, str) and value.startswith(names.OURS)}

    assert set() == {header for header in ours - {names.OURS} if f"`{header}`" not in PAGE}


def test_what_write_on_a_compacted_topic_allows_stands_on_the_page() -> None:
    """A signature proves neither that a record is the latest nor that it stays: the page says what remains."""
    remains = PAGE.partition("\n## What remains")[2]
    compacted = [name for name, config in CONFIGS.items() if "compact" in config["cleanup.policy"]]
    words = [name.removesuffix(".v1").rpartition(".")[2] for name in compacted]

    assert "suppressions" in words
    assert [] == [word for word in words if f"Write on the {word} topic" not in remains]
