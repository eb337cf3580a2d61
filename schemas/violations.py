"""The rules of the contract that data breaks, in the same words over REST and Kafka, and without any value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

_RULES: Mapping[str, str] = {
    "missing": "is missing",
    "string_type": "must be a string",
    "string_unicode": "must hold whole Unicode characters",
    "string_too_short": "must not be empty",  # every least length in the contract is 1
    "string_too_long": "must have at most {max_length} characters",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
    "enum": "must be {expected}",
    "json_invalid": "is not valid JSON",
}
"""Our text for pydantic's error types. Our own validators bring their own text."""


@dataclass(frozen=True)
class Violation:
    """One broken rule, and where."""

    place: tuple[int | str, ...]
    """The path to the field; empty for the data itself."""
    rule: str


def violations(error: ValidationError) -> list[Violation]:
    """Return the broken rules in the order of the model's fields."""
    found = error.errors(include_url=False, include_input=False)
    return [Violation(one["loc"], _rule(one)) for one in found]


def _rule(error: Mapping[str, Any]) -> str:
    rule = _RULES.get(error["type"])
    if rule is not None:
        return rule.format(**error.get("ctx", {}))  # pydantic's context of these types: bounds of the model, no values
    return str(error["msg"]).removeprefix("Value error, ")
