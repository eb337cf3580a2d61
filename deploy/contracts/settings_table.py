"""Write the table of all settings to deploy/README.md: ``python -m deploy.contracts.settings_table``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from runtime.environment import settings_table

README = Path(__file__).parents[1] / "README.md"
COMMAND = "python -m deploy.contracts.settings_table --write"

_BEGIN = f"<!-- settings: written by `{COMMAND}` -->\n"
_END = "<!-- settings: end -->\n"


class NoPlaceForTable(Exception):
    """The document lacks the two markers around the table."""


def with_table(document: str) -> str:
    """
    Return *document* with the current table.

    Raises:
        NoPlaceForTable: The markers are missing.
    """
    before, begin, rest = document.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise NoPlaceForTable(f"The document needs these two lines:\n{_BEGIN}{_END}")
    return f"{before}{_BEGIN}\n{settings_table()}\n{_END}{after}"


def main() -> int:
    """Print the table, or write it to deploy/README.md."""
    parser = argparse.ArgumentParser(prog="python -m deploy.contracts.settings_table", description=main.__doc__)
    parser.add_argument("--write", action="store_true", help=f"write it to {README.parent.name}/{README.name}")
    if parser.parse_args().write:
        README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        sys.stdout.write(settings_table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
