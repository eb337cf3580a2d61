"""`pause-notifications settings`: print every setting."""

from __future__ import annotations

import dataclasses

from deploy.support.output import print_json, print_table, print_text
from runtime.environment import describe_settings, settings_table


def settings(program: str | None, *, as_json: bool, as_markdown: bool) -> None:
    """Print every setting with its default and allowed values."""
    rows = describe_settings(*([program] if program else []))
    if as_markdown:
        print_text(settings_table().rstrip())
        return
    if as_json:
        for row in rows:
            print_json(dataclasses.asdict(row))
        return
    print_table(
        ("variable", "default", "unit", "allowed", "read by", "meaning"),
        [(r.variable, r.default, r.unit, r.allowed, ", ".join(r.read_by), r.description) for r in rows],
    )
