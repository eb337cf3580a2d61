"""Write many values for a JSON Schema, most of them at its limits: valid ones, and ones that just break a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

Schema = Mapping[str, Any]

UNKNOWN_FIELD = "a_field_of_others"
"""A field that no schema has: its writer may add what it likes."""

_ANY: tuple[Any, ...] = (None, True, 0, -1, 1.5, "text", [], {})
_CHARACTERS = " \t\n\0\x7f\xa0\u2028eEéж漢🎉09-_.:/@+'\","
_TEXTS = (
    "",
    "personal_leave",
    "Personal leave",
    "mentor-042",
    "amara@example.org",
    "Europe/Berlin",
    "2026-05-01",
    "2026-05-01T00:00:00Z",
    "2026-05-01t08:30:00.123456789+02:00",
    "2026-12-31T23:59:60Z",
    "0123456789abcdef0123456789abcdef",
    *_CHARACTERS,
    *(f"a{one}b" for one in _CHARACTERS),
)


def validator(schema: Schema) -> Draft202012Validator:
    """Return the validator of a schema; formats count."""
    return Draft202012Validator(schema, format_checker=FormatChecker())


def inlined(schema: Schema, root: Schema) -> Schema:
    """Return a schema without its reference, with the keywords beside it."""
    if "$ref" not in schema:
        return schema
    found: Any = root
    for step in schema["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return {**inlined(found, root), **{name: value for name, value in schema.items() if name != "$ref"}}


def instances(schema: Schema, root: Schema) -> Iterator[Any]:
    """Yield values for *schema*, a part of *root*: examples, members, limits, and values of other types."""
    schema = inlined(schema, root)
    yield from schema.get("examples", ())
    yield from schema.get("enum", ())
    if "const" in schema:
        yield schema["const"]
    for keyword in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(keyword, ()):
            yield from instances(part, root)
    for name, make in _OF_TYPE.items():
        if name in _types(schema):
            yield from make(schema, root)
    yield from _ANY


def _types(schema: Schema) -> list[str]:
    types: str | list[str] = schema.get("type", [])
    return [types] if isinstance(types, str) else types


def _texts(schema: Schema, _root: Schema) -> Iterator[str]:
    yield from _TEXTS
    for keyword in ("minLength", "maxLength"):
        limit = schema.get(keyword)
        if limit is not None:
            yield from ("x" * length for length in range(max(limit - 1, 0), limit + 2))


def _numbers(schema: Schema, _root: Schema) -> Iterator[float]:
    yield from (0, 1, -1, 0.5, 10**6, -(10**6))
    for keyword in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        limit = schema.get(keyword)
        if limit is not None:
            yield from (limit - 1, limit - 0.5, limit, limit + 0.5, limit + 1)


def _lists(schema: Schema, root: Schema) -> Iterator[list[Any]]:
    items = schema.get("items", {})
    one = _first_valid(items, root)
    yield []
    for item in instances(items, root):
        yield [item]
    for keyword in ("minItems", "maxItems"):
        limit = schema.get(keyword)
        if limit is not None:
            yield from ([one] * length for length in range(max(limit - 1, 0), limit + 2))


def _objects(schema: Schema, root: Schema) -> Iterator[dict[str, Any]]:
    """Yield objects with one field changed at a time, from an object with all fields and one with the needed ones."""
    fields: Mapping[str, Schema] = schema.get("properties", {})
    example: Mapping[str, Any] = next(iter(schema.get("examples", ())), {})
    whole = {name: example.get(name, _first_valid(field, root)) for name, field in fields.items()}
    needed = {name: whole.get(name) for name in schema.get("required", ())}
    yield from (whole, needed)
    yield {**whole, UNKNOWN_FIELD: 1}
    for name, field in fields.items():
        yield {other: value for other, value in whole.items() if other != name}
        for value in instances(field, root):
            yield {**whole, name: value}
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        yield from ({**whole, UNKNOWN_FIELD: value} for value in instances(others, root))


def _first_valid(schema: Schema, root: Schema) -> Any:
    definitions = {name: root[name] for name in ("$defs", "components") if name in root}
    checked = validator({**inlined(schema, root), **definitions})
    return next((value for value in instances(schema, root) if checked.is_valid(value)), None)


_OF_TYPE: Mapping[str, Callable[[Schema, Schema], Iterator[Any]]] = {
    "string": _texts,
    "integer": _numbers,
    "number": _numbers,
    "array": _lists,
    "object": _objects,
}
