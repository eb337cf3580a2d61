"""
Judge a schema against a published version of it, both ways.

Two findings make a change a breaking one. A value that one version allows and the other refuses is shown as it is.
A change that no such value explains, and that is not known to be harmless, fails as well: nothing shows what it breaks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import ValidationError

from deploy.contracts.instances import Schema, inlined, instances, validator

_ANNOTATIONS = frozenset({"$schema", "$id", "$defs", "components", "$comment", "title", "description", "examples"})
_CODES = "codes, to which more may be added"
_SHOWN = 300


@dataclass(frozen=True)
class Break:
    """One way in which a change breaks others."""

    who: str
    what: str
    example: Any = None
    """A value that one version allows and the other refuses, if there is one."""

    def __str__(self) -> str:
        """Return it in words, with its example."""
        if self.example is None:
            return f"{self.who}: {self.what}"
        shown = json.dumps(self.example, ensure_ascii=False)
        cut = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}… ({len(shown)} characters)"
        return f"{self.who}: {self.what}\n  for example {cut}"


def breaks(published: Schema, present: Schema | None, *, of_answers: bool = False) -> list[Break]:
    """
    Return what the present version of a schema breaks for those who rely on a published one.

    Only the service writes answers, and nobody keeps them, so a schema *of answers* is judged for its readers alone.
    """
    if present is None:
        return [Break("Everybody who writes or reads it", "the schema is gone")]
    before, after = _rules(published, published), _rules(present, present)
    if before == after:
        return []
    found = [
        *([] if of_answers else _refused("Who writes by the published version", published, present, "is refused")),
        *_refused("Who reads by the published version", present, published, "refuses what is written now"),
        *_removed(published, present),
    ]
    unexplained = () if found else _differences(before, after, of_answers=of_answers)
    if changed := ", ".join(unexplained):
        found.append(Break("Nobody can tell who", f"no example shows whether this breaks anything: {changed}"))
    return found


def _refused(who: str, writer: Schema, reader: Schema, what: str) -> Iterator[Break]:
    """Yield what *writer* allows and *reader* refuses: one example for each broken rule."""
    writes, reads = validator(writer), validator(reader)
    examples: dict[str, Any] = {}
    for value in instances(writer, writer):
        error = next(iter(reads.iter_errors(value)), None)
        if error is not None and writes.is_valid(value):
            examples.setdefault(_rule(error), value)
    for rule, value in examples.items():
        yield Break(f"{who} {what}", rule, value)


def _rule(error: ValidationError) -> str:
    place = ".".join(str(step) for step in error.absolute_path if isinstance(step, str))
    if error.validator == "required":
        return error.message
    limit = json.dumps(error.validator_value, ensure_ascii=False)
    return f"{place or 'the value'} breaks the rule {error.validator}: {limit[:_SHOWN]}"


def _removed(published: Schema, present: Schema) -> Iterator[Break]:
    """Yield the fields that are gone: validators allow unknown fields, and would not miss them."""
    before, after = _fields(published, published), _fields(present, present)
    for name in sorted(before - after):
        yield Break("Who reads by the published version finds nothing", f"the field {name} is gone")


def _fields(schema: Schema, root: Schema, place: str = "") -> set[str]:
    schema = inlined(schema, root)
    found = set()
    for name, field in schema.get("properties", {}).items():
        found |= {f"{place}{name}", *_fields(field, root, f"{place}{name}.")}
    for part in (*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else [])):
        found |= _fields(part, root, place)
    return found


def _rules(schema: Any, root: Schema) -> Any:
    """Return a schema as its rules alone: references inlined, without words, and with open lists of codes marked."""
    if not isinstance(schema, Mapping):
        return [_rules(part, root) for part in schema] if isinstance(schema, list) else schema
    rules: dict[str, Any] = {}
    for keyword, value in inlined(schema, root).items():
        if keyword == "properties":
            rules[keyword] = {name: _rules(field, root) for name, field in value.items()}
        elif keyword == "anyOf" and {"type": "string"} in value:
            rules[keyword] = [_rules(part, root) for part in value if "enum" not in part]
            rules[_CODES] = sorted(code for part in value for code in part.get("enum", ()))
        elif keyword == "required":
            rules[keyword] = sorted(value)
        elif keyword not in _ANNOTATIONS:
            rules[keyword] = _rules(value, root)
    return rules


def _differences(before: Any, after: Any, place: str = "", *, of_answers: bool = False) -> Iterator[str]:
    """Yield the places of rules that differ, but for fields and codes that may be added."""
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        if before != after:
            yield place
        return
    for name in sorted(before.keys() | after.keys()):
        inner = f"{place}.{name}" if place else name
        may_grow = name == _CODES or (of_answers and name == "required")
        if may_grow and set(before.get(name, ())) <= set(after.get(name, ())):
            continue
        if name in before and name in after:
            yield from _differences(before[name], after[name], inner, of_answers=of_answers)
        elif not place.endswith("properties"):
            yield inner
