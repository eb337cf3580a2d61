"""Read the settings from the environment, and describe them for people."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from runtime.settings import PREFIX, PROGRAMS, Settings, env_name

S = TypeVar("S", bound=Settings)

# What Kubernetes sets for a Service whose name begins like ours; a bare _PORT only if it holds an address.
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_LINKED_ADDRESS = re.compile(r"(tcp|udp|sctp)://.*")
_OURS_FOR_TESTS = PREFIX + "TEST_"

CRASH_AT = PREFIX + "CRASH_AT"
"""Where the tests' own replica kills itself; no program that ships starts while it is set."""


class InvalidSettings(ValueError):
    """Invalid settings: each of *problems* names a variable and what is allowed, and never a secret."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class UnknownSetting:
    """A variable with our prefix that no program reads, and the most similar one that is read."""

    variable: str
    nearest: str | None


@dataclass(frozen=True)
class SettingRow:
    """One setting, as documents and `--help` show it."""

    variable: str
    default: str
    unit: str
    allowed: str
    read_by: tuple[str, ...]
    description: str


def read_settings(settings_class: type[S], environ: Mapping[str, str]) -> S:
    """
    Read the settings of one program; an empty variable counts as unset.

    Raises:
        InvalidSettings: It names every invalid variable and what is allowed.
    """
    if environ.get(CRASH_AT):
        raise InvalidSettings((f"{CRASH_AT} is for tests only: no program that ships starts while it is set.",))
    fields = settings_class.model_fields
    values = {field: environ[env_name(field)] for field in fields if environ.get(env_name(field))}
    try:
        return settings_class(**values)  # type: ignore[arg-type]  # pydantic reads the text
    except ValidationError as error:
        problems = dict.fromkeys(_problem(settings_class, values, details) for details in error.errors())
        raise InvalidSettings(tuple(problems)) from None  # the cause would print the values, secrets included


def _problem(settings_class: type[Settings], values: Mapping[str, str], details: ErrorDetails) -> str:
    if not details["loc"]:  # a rule over several settings names them itself
        return details["msg"].removeprefix("Value error, ")
    field = str(details["loc"][0])
    info = settings_class.model_fields[field]
    given = "" if _kind(info.annotation) is SecretStr else f" is {values.get(field, '')!r}, which"
    problem = f"{env_name(field)}{given} is not allowed: it must be {_allowed(info)}."
    if _LINKED_ADDRESS.fullmatch(values.get(field, "")):
        problem += " Kubernetes set it for a Service of that name: set enableServiceLinks: false in the pod."
    return problem


def unknown_settings(environ: Mapping[str, str]) -> tuple[UnknownSetting, ...]:
    """Return the variables with our prefix that no program reads, each with the most similar known one."""
    known = {env_name(field) for settings_class in PROGRAMS.values() for field in settings_class.model_fields}
    names = sorted(name for name in environ if name.upper().startswith(PREFIX))
    return tuple(
        UnknownSetting(name, next(iter(difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.8)), None))
        for name in names
        if name not in known and not _is_expected(name, environ[name])
    )


def _is_expected(name: str, value: str) -> bool:
    linked = _SERVICE_LINK.fullmatch(name) or (name.endswith("_PORT") and _LINKED_ADDRESS.fullmatch(value))
    return bool(linked) or name.startswith(_OURS_FOR_TESTS)


def describe_settings(*programs: str) -> tuple[SettingRow, ...]:
    """Describe the settings that any of *programs* reads, or all settings, in the order of `runtime.settings`."""
    chosen = {name: PROGRAMS[name] for name in programs or PROGRAMS}
    fields = dict.fromkeys(field for settings_class in chosen.values() for field in settings_class.model_fields)
    return tuple(_row(field) for field in fields)


def settings_table() -> str:
    """Render all settings as a Markdown table."""
    lines = ["| variable | default | unit | allowed | read by | meaning |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [
        f"| `{row.variable}` | {_code(row.default)} | {row.unit} | {_cell(row.allowed)} | {', '.join(row.read_by)} "
        f"| {_cell(row.description)} |"
        for row in describe_settings()
    ]
    return "\n".join(lines) + "\n"


def settings_help(program: str) -> str:
    """Render one program's settings as plain text for its `--help`."""
    return "\n".join(
        f"{row.variable}\n    {row.description} Allowed: {row.allowed}{f' ({row.unit})' if row.unit else ''}. "
        f"Default: {row.default or 'none'}."
        for row in describe_settings(program)
    )


def _row(field: str) -> SettingRow:
    infos = {name: cls.model_fields[field] for name, cls in PROGRAMS.items() if field in cls.model_fields}
    info = next(iter(infos.values()))
    return SettingRow(
        variable=env_name(field),
        default=_default({name: _shown(info.default) for name, info in infos.items()}),
        unit=_extra(info, "unit"),
        allowed=_allowed(info),
        read_by=tuple(infos),
        description=info.description or "",
    )


def _default(shown: Mapping[str, str]) -> str:
    if len(set(shown.values())) == 1:
        return next(iter(shown.values()))
    return ", ".join(f"{default} ({program})" for program, default in shown.items())


def _shown(default: Any) -> str:
    if isinstance(default, float):
        return f"{default:g}"
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default is None else str(default)


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if text else "none"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;") if "`" not in text else text.replace("|", "\\|")


def _extra(info: FieldInfo, key: str) -> str:
    extra = info.json_schema_extra
    return str(extra.get(key) or "") if isinstance(extra, dict) else ""


def _kind(annotation: Any) -> Any:
    """Return the type of a setting without `Annotated` and `| None`."""
    if get_origin(annotation) in {None, Literal}:
        return annotation
    return next(kind for one in get_args(annotation) if (kind := _kind(one)) is not NoneType)


def _allowed(info: FieldInfo) -> str:
    """Return in words which values a setting allows."""
    kind = _kind(info.annotation)
    if words := _extra(info, "allowed"):
        return words
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(str(member.value) for member in kind)
    if kind is bool:
        return "true or false"
    if kind in {int, float}:
        return _bounds("a whole number" if kind is int else "a number", info)
    return "a file that can be read" if isinstance(kind, type) and issubclass(kind, Path) else "a text"


def _bounds(noun: str, info: FieldInfo) -> str:
    low = next((f" from {rule.ge}" for rule in info.metadata if isinstance(rule, Ge)), "")
    high = next((f" to {rule.le}" for rule in info.metadata if isinstance(rule, Le)), " upwards")
    return noun + low + high
