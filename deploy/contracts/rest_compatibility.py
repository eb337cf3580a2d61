"""Judge the REST endpoints against a published openapi.json: paths, parameters, bodies and answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deploy.contracts.compatibility import Break, breaks
from deploy.contracts.instances import inlined

Document = Mapping[str, Any]

_CALLER, _READER = "Who calls by the published version", "Who reads answers by the published version"


def rest_breaks(published: Document, present: Document) -> list[Break]:
    """Return what the present endpoints break for callers by the published document; each break once."""
    found = [
        one
        for path, operations in published["paths"].items()
        for method, operation in operations.items()
        for one in _of_operation(f"{method.upper()} {path}", operation, published, present)
    ]
    return list({(one.who, one.what): one for one in found}.values())


def _of_operation(name: str, operation: Document, published: Document, present: Document) -> Iterator[Break]:
    method, path = name.split()
    now = present["paths"].get(path, {}).get(method.lower())
    if now is None:
        yield Break(_CALLER, f"{name} is gone")
        return
    before, after = _parameters(operation, published), _parameters(now, present)
    for parameter in sorted(before.keys() - after.keys()):
        yield Break(_CALLER, f"the parameter {parameter} of {name} is gone")
    for parameter in sorted(after):
        if after[parameter].get("required") and not before.get(parameter, {}).get("required"):
            yield Break(_CALLER, f"{name} needs the parameter {parameter}")
    for part, wanted in _schemas(operation):
        of_answers = part != "body"
        given = dict(_schemas(now)).get(part)
        if given is None:
            yield Break(_READER if of_answers else _CALLER, f"the {part} of {name} is gone")
            continue
        old, new = _whole(wanted, published), _whole(given, present)
        for one in breaks(old, new, of_answers=of_answers):
            yield Break(one.who, f"{one.what} ({part} of {name})", one.example)


def _parameters(operation: Document, document: Document) -> dict[str, Document]:
    parameters = [inlined(parameter, document) for parameter in operation.get("parameters", ())]
    return {parameter["name"]: parameter for parameter in parameters}


def _schemas(operation: Document) -> Iterator[tuple[str, Document]]:
    for media in operation.get("requestBody", {}).get("content", {}).values():
        yield "body", media["schema"]
    for status, answer in operation["responses"].items():
        for media in answer.get("content", {}).values():
            yield f"answer {status}", media["schema"]


def _whole(schema: Document, document: Document) -> Document:
    """Return a schema with the components that it refers to."""
    return {**schema, "components": document["components"]}
