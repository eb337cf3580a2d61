"""
Writes the published contracts from the models: `python -m deploy.command.contracts [--check]`.

schemas/json/<event type>.json   JSON Schema of each event's data; also of a contact and a dispatch
schemas/asyncapi.yaml            the topics (deploy.command.asyncapi)
schemas/openapi.json             the REST endpoints, as the facade itself describes them
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import BaseModel

from deploy.command.asyncapi import asyncapi
from deploy.command.output import say
from deploy.command.running import refuse
from schemas.contacts import Contact
from schemas.dispatch import Dispatch
from schemas.events import EVENTS

FOLDER = Path(__file__).parents[2] / "schemas"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def exports() -> Iterator[tuple[str, str]]:
    """Give path below `schemas/` and text of each exported file."""
    models: dict[str, type[BaseModel]] = {event.type: event.model for event in EVENTS}
    for name, model in {**models, "contact": Contact, "dispatch": Dispatch}.items():
        yield f"json/{name}.json", _json(json_schema(name, model))
    yield "asyncapi.yaml", yaml.safe_dump(asyncapi(), sort_keys=False, allow_unicode=True, width=120)
    yield "openapi.json", _json(openapi())


def json_schema(name: str, model: type[BaseModel]) -> dict[str, Any]:
    """Give the JSON Schema of one model, as a document of its own."""
    return {"$schema": _DIALECT, "$id": f"urn:pause-notifications:{name}", **model.model_json_schema()}


def openapi() -> dict[str, Any]:
    """Give the facade's own description of its endpoints."""
    from service.app import create_app  # noqa: PLC0415 - the command's other nouns need no facade

    return create_app().openapi()


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write(
    *, check: Annotated[bool, typer.Option("--check", help="Write nothing; fail where a file differs.")] = False
) -> None:
    """Write the JSON Schemas, asyncapi.yaml and openapi.json anew from the models."""
    changed = [(path, text) for path, text in exports() if _written(path) != text]
    if check and changed:
        names = ", ".join(f"schemas/{path}" for path, _ in changed)
        refuse(f"these differ from the models: {names}; write them with: make contracts")
    for path, text in changed:
        (FOLDER / path).parent.mkdir(exist_ok=True)
        (FOLDER / path).write_text(text, encoding="utf-8")
        say(f"schemas/{path} written")
    if not changed:
        say("all contracts are as the models have them")


def _written(path: str) -> str | None:
    file = FOLDER / path
    return file.read_text(encoding="utf-8") if file.exists() else None


if __name__ == "__main__":
    typer.run(write)
