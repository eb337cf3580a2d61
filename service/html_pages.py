"""Pages for people: the REST contract, the events, and each problem. They load nothing from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from schemas.event_headers import EVENT_HEADERS
from schemas.events import EVENTS
from service.code_samples import samples_of
from service.problems import PROBLEM_TYPES, TRY_AGAIN, ProblemType

_NOTHING = "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PAGE_HEADERS = {
    "Content-Security-Policy": f"{_NOTHING}; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
VIEWER_HEADERS = {
    **PAGE_HEADERS,
    "Content-Security-Policy": f"{_NOTHING}; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'",
}
"""For the page with the viewer: its own scripts and style sheet, and calls of this service."""

_OURS, _VIEWER = files("service") / "pages", files("fastapi_swagger.resources")
ASSETS = {
    "start.js": (_OURS / "start.js", "text/javascript"),
    "swagger-ui-bundle.js": (_VIEWER / "swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": (_VIEWER / "swagger-ui.css", "text/css"),
}
"""The files that the pages load, with their types."""

_SCHEMAS = {one.name.removesuffix(".json"): one for one in (files("schemas") / "json").iterdir()}


class Repeating(NamedTuple):
    """Whether to repeat a call, for a group of answers."""

    what: str
    do: str


_ASK = Repeating("202", "Do not repeat it: the event is accepted. Ask at its `Location`, after `Retry-After` seconds.")
_AGAIN = Repeating(
    "408, 429, 500, 502, 503, or no answer",
    "Repeat it with the same `Idempotency-Key`, after `Retry-After` seconds if it is given: nobody is told twice.",
)
_READ = Repeating("503 to a GET", "Ask again after `Retry-After` seconds if it is given. To read changes nothing.")
_FINAL = Repeating("Any other", "Do not repeat it as it is: the answer stays the same until its cause is removed.")
REPEATING = (_ASK, _AGAIN, _FINAL)
_REPEATED_STATUSES = {408, 429, 500, 502, 503}

_CODE = re.compile(r"`([^`]+)`")


def problem_page(kind: ProblemType, prefix: str = "") -> str:
    """Return the page of a problem type; our own addresses begin with *prefix*."""
    repeating = _AGAIN if kind.status in _REPEATED_STATUSES else _FINAL
    if kind is TRY_AGAIN:
        repeating = _READ
    return _page("problem", kind.title, prefix, kind=kind, repeating=repeating)


def docs_page(openapi: Mapping[str, Any], prefix: str = "") -> str:
    """Return the page of the REST endpoints, described by openapi.json."""
    summary, _, detail = openapi["info"]["description"].partition("\n\n")
    content = {"summary": summary, "detail": detail, "samples": list(samples_of(openapi)), "openapi": openapi}
    return _page("docs", openapi["info"]["title"], prefix, repeating=REPEATING, problems=PROBLEM_TYPES, **content)


def events_page(prefix: str = "") -> str:
    """Return the page of the events in Kafka."""
    events = [
        {"kind": kind, "fields": kind.model.model_json_schema()["properties"], "example": _json(kind.example)}
        for kind in EVENTS
    ]
    others = sorted(_SCHEMAS.keys() - {kind.type for kind in EVENTS})
    headers = EVENT_HEADERS["properties"].items()
    return _page("events", "Events in Kafka", prefix, events=events, headers=headers, others=others)


def schema(name: str) -> bytes | None:
    """Return the JSON Schema of an event type, or of another record; None if there is none."""
    found = _SCHEMAS.get(name)
    return None if found is None else found.read_bytes()


@cache
def asset(name: str) -> tuple[bytes, str] | None:
    """Return a file that the pages load, and its type; None if there is none."""
    found = ASSETS.get(name)
    return None if found is None else (found[0].read_bytes(), found[1])


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("service", "pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    made.filters.update(prose=_prose, marked=_marked, limits=_limits)
    return made


def _page(name: str, title: str, prefix: str, **content: Any) -> str:
    return _templates().get_template(f"{name}.html.j2").render(title=title, prefix=prefix, **content)


def _prose(text: str) -> Markup:
    """Return the paragraphs of *text*, which empty lines separate."""
    return Markup("").join(Markup("<p>{}</p>").format(_marked(paragraph)) for paragraph in text.split("\n\n"))


def _marked(text: str) -> Markup:
    """Return *text* with its backticks as code, the only Markdown that our texts use."""
    return Markup(_CODE.sub(r"<code>\1</code>", escape(text)))  # noqa: S704 - escaped a moment before


def _limits(field: Mapping[str, Any]) -> str:
    """Return type and limits of a field of a JSON Schema in words."""
    return ", ".join(_limits_of(field))


def _limits_of(field: Mapping[str, Any]) -> Iterator[str]:
    if "const" in field:
        yield f"always {field['const']}"
    elif "enum" in field:
        yield "one of " + ", ".join(map(str, field["enum"]))
    else:
        yield {"string": "text", "integer": "whole number"}.get(field.get("type", ""), field.get("type", ""))
    if field.get("format") == "date-time":
        yield "RFC 3339 with a zone"
    if "maxLength" in field:
        yield f"{field.get('minLength', 0)} to {field['maxLength']} characters"
    if "minimum" in field:
        yield f"{field['minimum']} to {field['maximum']}"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2)
