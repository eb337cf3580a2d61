"""
Judge the schemas against all published versions: `python -m deploy.contracts.compat [--publish]`.

schemas/published/<release>/<name>.json    a schema as that release published it, if it differs from the release before
schemas/published/<release>/openapi.json   likewise the REST endpoints
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.contracts.compatibility import breaks
from deploy.contracts.export import FOLDER, exports
from deploy.contracts.rest_compatibility import rest_breaks
from deploy.support.output import print_error, print_text
from deploy.support.running import EXIT_FAILED

OPENAPI = "openapi.json"
PUBLISHED = FOLDER / "published"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def present_schemas() -> dict[str, str]:
    """Return the text of each JSON Schema, and of openapi.json, by its file's name, as the code has it now."""
    return {Path(path).name: text for path, text in exports() if path.endswith(".json")}


def releases(folder: Path) -> list[Path]:
    """Return the folders of the releases that published schemas, the oldest first."""
    return sorted(folder.iterdir(), key=lambda one: [int(part) for part in one.name.split(".")])


def judgements(published: Path, present: Mapping[str, str]) -> Iterator[str]:
    """Yield in words what the present schemas break of each published one."""
    for release in releases(published):
        for file in sorted(release.glob("*.json")):
            now: Any = json.loads(present[file.name]) if file.name in present else None
            judged = rest_breaks if file.name == OPENAPI else breaks
            for one in judged(json.loads(file.read_text(encoding="utf-8")), now):
                yield f"{file.stem} of {release.name}: {one}"


def publish(published: Path, release: str, present: Mapping[str, str]) -> list[Path]:
    """Write the schemas that no release has published like this; return their files."""
    newest = {file.name: file.read_text(encoding="utf-8") for one in releases(published) for file in one.glob("*.json")}
    written = []
    for name, text in present.items():
        if newest.get(name) != text:
            file = published / release / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
            written.append(file)
    return written


@app.command()
def main(
    *, publishing: Annotated[bool, typer.Option("--publish", help="Also keep the schemas as this release's.")] = False
) -> None:
    """Fail if a schema breaks those who write or read by a published version, and show an example."""
    present = present_schemas()
    found = list(judgements(PUBLISHED, present))
    for one in found:
        print_error(one)
    if found:
        print_error("A published version stays as it is: add a new one beside it (CONTRIBUTING.md, A new version).")
        raise typer.Exit(EXIT_FAILED)
    print_text("all published versions of the schemas are kept")
    if publishing:
        for file in publish(PUBLISHED, version("pause-notifications"), present):
            print_text(f"schemas/published/{file.parent.name}/{file.name} written")


if __name__ == "__main__":
    app()
