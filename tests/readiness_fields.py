"""The fields of `/readyz` as deploy/README.md explains them."""

from __future__ import annotations

import re
from pathlib import Path

_README = Path(__file__).parents[1] / "deploy" / "README.md"
_EVERY_PROGRAM = "both"


def documented(program: str) -> set[str]:
    """Return the fields that the table of the probes has for a program, besides those of a program that waits."""
    section = _README.read_text(encoding="utf-8").partition("\n## Probes\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (\w+) \|", section, re.MULTILINE)
    assert rows
    return {name for names, of in rows if of in (program, _EVERY_PROGRAM) for name in re.findall(r"\w+", names)}
