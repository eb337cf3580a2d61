"""Pages for people: the contract and its problems. They have no scripts and load nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from typing import Any

from service.problems import ProblemType

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

_CODE = re.compile(r"`([^`]+)`")
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "body{color:#222;background:#fff}"
    "pre{background:#f3f3f3;padding:.7rem;overflow:auto}code{font-size:.95em}"
    "td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#262626}a{color:#8bf}}"
)


def problem_page(kind: ProblemType, prefix: str = "") -> str:
    """Return the page of a problem type; our own addresses begin with *prefix*."""
    shown = f"<p>Status {kind.status}, type <code>{escape(prefix + kind.uri)}</code>.</p>"
    return _page(kind.title, _prose(kind.text) + shown)


def docs_page(openapi: Mapping[str, Any], prefix: str = "") -> str:
    """Return the endpoints of openapi.json as one page; our own addresses begin with *prefix*."""
    link = f"<a href='{escape(prefix)}/openapi.json'>openapi.json</a>"
    intro = f"{_prose(openapi['info']['description'])}<p>For tools: {link}.</p>"
    operations = [
        _operation(method, prefix + path, operation, openapi["components"]["parameters"])
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]
    return _page(openapi["info"]["title"], intro + "".join(operations))


def _operation(method: str, path: str, operation: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    media = operation.get("requestBody", {}).get("content", {}).values()
    parts = [
        f"<h2><code>{method.upper()} {escape(path)}</code></h2>",
        _prose(f"{operation['summary']}. {operation['description']}"),
        *[
            _parameter_line(parameters[parameter["$ref"].rpartition("/")[2]] if "$ref" in parameter else parameter)
            for parameter in operation.get("parameters", ())
        ],
        *[f"<p>Request:</p>{_pre(one['example'])}" for one in media],
    ]
    example = operation["responses"]["200"]["content"]["application/json"].get("example")
    parts.append(f"<p>Answer:</p>{_pre(example)}" if example else "")
    rows = [
        f"<tr><th>{status}</th><td>{_marked(response['description'])}</td></tr>"
        for status, response in operation["responses"].items()
    ]
    return "".join([*parts, "<table>", *rows, "</table>"])


def _parameter_line(parameter: Mapping[str, Any]) -> str:
    where = f"<code>{escape(parameter['name'])}</code> ({parameter['in']})"
    return f"<p>{where}: {_marked(parameter['description'])}</p>"


def _prose(text: str) -> str:
    """Return the paragraphs of *text*, which empty lines separate."""
    return "".join(f"<p>{_marked(paragraph)}</p>" for paragraph in text.split("\n\n"))


def _marked(text: str) -> str:
    """Return *text* with its backticks as code, the only Markdown that our texts use."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _pre(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2))}</pre>"


def _page(title: str, content: str) -> str:
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>{content}</html>"
    )
