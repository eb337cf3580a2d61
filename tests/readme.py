"""Write measured figures into a page, between the markers of their kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def put(page: Path, kind: str, text: str) -> None:
    """
    Replace the text between the markers of *kind* with *text*.

    Raises:
        ValueError: The page has no such markers.
    """
    block = re.compile(rf"(<!-- {kind} figures -->\n).*?(<!-- end of {kind} figures -->)", re.DOTALL)
    written, count = block.subn(lambda marks: f"{marks[1]}{text}{marks[2]}", page.read_text("utf-8"))
    if count != 1:
        raise ValueError(f"{page} has no marks for {kind} figures")
    page.write_text(written, encoding="utf-8")


def measured(report: Mapping[str, Any]) -> str:
    """Return when and on which machine *report*, read from JSON, was measured."""
    machine = report["machine"]
    where = f"{machine['cores']} cores, Python {machine['python']}, {machine['system'].split()[0]}"
    return f"Measured {report['at'][:10]} on {where}"


def row(*cells: str) -> str:
    """Return a row of a table."""
    return "| " + " | ".join(cells) + " |"
