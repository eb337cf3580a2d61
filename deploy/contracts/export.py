"""
Write the published contracts from the models: `python -m deploy.contracts.export [--check]`.

schemas/json/<event type>.json   JSON Schema of each event's data; also of a contact and a dispatch
schemas/asyncapi.yaml            the topics (deploy.contracts.asyncapi)
schemas/openapi.json             the REST endpoints, as the facade describes them
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import BaseModel

from deploy.contracts.asyncapi import asyncapi
from deploy.contracts.models import published_models
from deploy.support.output import print_text
from deploy.support.running import exit_with_error
from service.app import openapi_document

FOLDER = Path(__file__).parents[2] / "schemas"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_UNSEEN = "\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000"
"""Blanks and line breaks in the patterns; they would be invisible in the file."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


class _Yaml(yaml.SafeDumper):
    """YAML as people write it: text of several lines as a block, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - pyyaml's signature
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None if text.isprintable() else '"'  # quotes keep a line separator in one piece
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Yaml.add_representer(str, _text)


def exports() -> Iterator[tuple[str, str]]:
    """Yield the path below `schemas/` and the text of each exported file."""
    for name, model in published_models().items():
        yield f"json/{name}.json", _json(json_schema(name, model))
    yield "asyncapi.yaml", yaml.dump(asyncapi(), Dumper=_Yaml, sort_keys=False, allow_unicode=True, width=120)
    yield "openapi.json", _json(openapi_document())


def json_schema(name: str, model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of one model as a separate document."""
    return {"$schema": _DIALECT, "$id": f"urn:pause-notifications:{name}", **model.model_json_schema()}


def _json(document: dict[str, Any]) -> str:
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return text.translate({ord(character): f"\\u{ord(character):04x}" for character in _UNSEEN})


@app.command()
def write(
    *, check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if a file differs.")] = False
) -> None:
    """Write the JSON Schemas, asyncapi.yaml and openapi.json from the models."""
    changed = [(path, text) for path, text in exports() if _written(path) != text]
    if check and changed:
        names = ", ".join(f"schemas/{path}" for path, _ in changed)
        exit_with_error(f"these differ from the models: {names}; regenerate them with: make contracts")
    for path, text in changed:
        (FOLDER / path).parent.mkdir(exist_ok=True)
        (FOLDER / path).write_text(text, encoding="utf-8")
        print_text(f"schemas/{path} written")
    if not changed:
        print_text("all contracts agree with the models")


def _written(path: str) -> str | None:
    file = FOLDER / path
    return file.read_text(encoding="utf-8") if file.exists() else None


if __name__ == "__main__":
    app()
