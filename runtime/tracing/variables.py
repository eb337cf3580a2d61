"""Check OpenTelemetry's own variables. Its SDK logs a warning about a wrong one, and goes on with a default."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_URL = re.compile(r"https?://[^\s/?#]{1,253}(/[^\s?#]{0,512})?")
_HEADERS = re.compile(r"\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*=[^\s,;]+\s*(,\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*=[^\s,;]+\s*)*")
_SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
_MOST_SPANS = 65_536
_QUEUE, _BATCH = "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
_DEFAULT_SPANS = {_QUEUE: 2048, _BATCH: 512}


@dataclass(frozen=True)
class _Rule:
    allowed: str
    holds: Callable[[str], bool]
    secret: bool = False
    """Whether the value may hold a password or a token, and must not be shown."""


def _one_of(*values: str) -> _Rule:
    return _Rule(" or ".join(values), lambda text: text.strip().lower() in values)


def _number(low: float, high: float, unit: str = "") -> _Rule:
    def holds(text: str) -> bool:
        try:
            return low <= float(text) <= high
        except ValueError:
            return False

    return _Rule(f"a number from {low:g} to {high:g}{unit}", holds)


def _whole(high: int, unit: str) -> _Rule:
    def holds(text: str) -> bool:
        return re.fullmatch("[0-9]{1,9}", text) is not None and 1 <= int(text) <= high

    return _Rule(f"a whole number from 1 to {high}{unit}", holds)


_ENDPOINT = _Rule("an http or https URL", lambda text: _URL.fullmatch(text) is not None, secret=True)
_TIMEOUT = _number(0.1, 60, " seconds")
_FILE = _Rule("a file that can be read", lambda text: Path(text).is_file())
_PAIRS = _Rule("name=value, or several separated by commas", lambda t: _HEADERS.fullmatch(t) is not None, secret=True)
_COMPRESSION = _one_of("none", "gzip", "deflate")

_RULES: dict[str, _Rule] = {
    "OTEL_SDK_DISABLED": _one_of("true", "false"),
    "OTEL_TRACES_EXPORTER": _one_of("otlp"),
    "OTEL_TRACES_SAMPLER": _one_of(*_SAMPLERS),
    "OTEL_TRACES_SAMPLER_ARG": _number(0, 1),
    "OTEL_BSP_SCHEDULE_DELAY": _whole(60_000, " milliseconds"),
    _QUEUE: _whole(_MOST_SPANS, " spans"),
    _BATCH: _whole(_MOST_SPANS, " spans"),
    **{
        f"OTEL_EXPORTER_OTLP_{prefix}{name}": rule
        for prefix in ("", "TRACES_")
        for name, rule in {
            "ENDPOINT": _ENDPOINT,
            "PROTOCOL": _one_of("http/protobuf"),
            "TIMEOUT": _TIMEOUT,
            "COMPRESSION": _COMPRESSION,
            "HEADERS": _PAIRS,
            "CERTIFICATE": _FILE,
            "CLIENT_KEY": _FILE,
            "CLIENT_CERTIFICATE": _FILE,
        }.items()
    },
}


def invalid_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return what is wrong with OpenTelemetry's variables, in sentences that show no secret; an empty one is unset."""
    given = {name: text for name, text in environ.items() if name in _RULES and text}
    wrong = [_problem(name, text) for name, text in sorted(given.items()) if not _RULES[name].holds(text)]
    if not wrong and _spans(given, _BATCH) > _spans(given, _QUEUE):
        wrong.append(f"{_BATCH} <= {_QUEUE} is required.")
    return tuple(wrong)


def is_disabled(environ: Mapping[str, str]) -> bool:
    """Return whether OpenTelemetry's own switch turns everything off."""
    return environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def _problem(name: str, text: str) -> str:
    rule = _RULES[name]
    return f"{name}{'' if rule.secret else f' is {text!r}, which'} is not allowed: it must be {rule.allowed}."


def _spans(given: Mapping[str, str], name: str) -> int:
    return int(given.get(name) or _DEFAULT_SPANS[name])
