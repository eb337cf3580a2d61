"""Puts what was measured into the README, between the marks of its kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def put(readme: Path, kind: str, text: str) -> None:
    """
    Replace what stands between the marks of *kind* by *text*.

    Raises:
        ValueError: the page has no such marks.
    """
    block = re.compile(rf"(<!-- {kind} figures -->\n).*?(<!-- end of {kind} figures -->)", re.DOTALL)
    page, count = block.subn(lambda marks: f"{marks[1]}{text}{marks[2]}", readme.read_text("utf-8"))
    if count != 1:
        raise ValueError(f"{readme} has no marks for {kind} figures")
    readme.write_text(page, encoding="utf-8")


def measured(told: Mapping[str, Any]) -> str:
    """Return when and on what a report, as JSON has it, was made."""
    machine = told["machine"]
    where = f"{machine['cores']} cores, Python {machine['python']}, {machine['system'].split()[0]}"
    return f"Measured {told['at'][:10]} on {where}"


def row(*cells: str) -> str:
    """Return a row of a table."""
    return "| " + " | ".join(cells) + " |"
