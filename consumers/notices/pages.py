"""
Notices rendered as pages with gaps.

Most e-mails of one notice differ only in names and dates. A page is rendered once, with a gap for each value that its
templates only show, and the gaps are filled for every e-mail. Rendering a page takes twenty times as long.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from functools import cache, lru_cache
from typing import Any

from jinja2 import BaseLoader, Environment, StrictUndefined, Template, nodes
from markupsafe import escape

from consumers.notices.looked_into import looked_into
from consumers.notices.template_check import LAYOUTS, words_of

_PAGES_KEPT = 1000
"""Opened notices that are kept. Pause reasons are the one text that templates look into, and few differ."""

_GAP = re.compile("\ufdd0([a-z0-9_]*)\ufdd1")  # non-characters, which no value may contain

_Shape = tuple[tuple[str, object], ...]
"""The values that a page is rendered with: a gap for what its templates only show, all else as it is."""


class Pages:
    """
    Notices as text and as HTML, each compiled when it is first rendered: all of them take half a second.

    A notice's name is its file, within the folder of its language, which also holds the macros of that language,
    `words.j2`. *its_globals* are the values that all e-mails share. No value may contain the characters U+FDD0 and
    U+FDD1.
    """

    def __init__(self, loader: BaseLoader, its_globals: Mapping[str, Any] | None = None) -> None:
        # Two environments compile each file, so that no block can forget to escape, and no subject is escaped.
        self.text, self.html = (_Edition(loader, layout, its_globals or {}) for layout in LAYOUTS)
        self.looked_into = cache(self._looked_into)
        """Return the names of the values that a notice's templates look into."""
        self._opened = lru_cache(maxsize=_PAGES_KEPT)(self._open)

    def render(self, name: str, values: Mapping[str, Any]) -> tuple[str, str, str]:
        """Return subject, text and HTML of a notice; raise jinja2.TemplateError, or what a template does."""
        subject, text, html = self._opened(name, _shape(values, self.looked_into(name)))
        return (
            subject.filled(values),
            text.filled(values),
            html.filled({gap: escape(values[gap]) for gap in html.gaps}),
        )

    def _open(self, name: str, shape: _Shape) -> tuple[_Page, _Page, _Page]:
        """Return subject, text and HTML with open gaps. All three are kept under one key: to compare it costs time."""
        values = dict(shape)
        return (
            _Page(self.text.rendered(name, "subject", values)),
            _Page(self.text.rendered(name, "", values)),
            _Page(self.html.rendered(name, "", values)),
        )

    def _looked_into(self, name: str) -> Container[str]:
        return looked_into([self.text.parsed(file) for file in (name, words_of(name), *LAYOUTS)])


def _shape(values: Mapping[str, Any], fixed: Container[str]) -> _Shape:
    return tuple(
        [
            (name, _gap(name) if value and type(value) is str and name not in fixed else value)
            for name, value in values.items()
        ]
    )


@cache
def _gap(name: str) -> str:
    """Return the gap of a value: the same object each time, which compares at once. There are some twenty names."""
    return f"\ufdd0{name}\ufdd1"


class _Page:
    """A rendered page whose gaps are open."""

    def __init__(self, text: str) -> None:
        self._parts = _GAP.split(text)  # constant, gap, constant, gap, ..., constant
        self._gaps_in_order = self._parts[1::2]
        self.gaps = frozenset(self._gaps_in_order)
        if any("\ufdd0" in part or "\ufdd1" in part for part in self._parts):
            raise ValueError("a template looks into a value that it was found only to show")

    def filled(self, shown: Mapping[str, str]) -> str:
        """Return the page with *shown* in its gaps."""
        parts = self._parts.copy()
        parts[1::2] = [shown[gap] for gap in self._gaps_in_order]
        return "".join(parts)


class _Edition:
    """Notices compiled as text or as HTML."""

    def __init__(self, loader: BaseLoader, layout: str, its_globals: Mapping[str, Any]) -> None:
        self._globals = its_globals
        self._loader = loader
        self._environment = environment_of(loader, escaped=layout.endswith(".html.j2"))
        self._layout = layout
        self._words = cache(self._words_of)
        self._compiled = cache(self._compile)
        self.parsed = cache(self._parse)
        """Return the syntax of a template."""

    def _parse(self, file: str) -> nodes.Template:
        source, _, _ = self._loader.get_source(self._environment, file)
        return self._environment.parse(source)

    def rendered(self, name: str, block: str, values: Mapping[str, Any]) -> str:
        """Render a notice, or one *block* of it."""
        template = self._compiled(name)
        context = template.new_context(dict(values))
        root = template.blocks[block] if block else template.root_render_func
        return "".join(root(context))

    def _compile(self, name: str) -> Template:
        its_globals = {
            **self._globals,
            "layout": self._environment.get_template(self._layout),
            "language": name.partition("/")[0],
            "words": self._words(words_of(name)),
        }
        return self._environment.get_template(name, globals=its_globals)

    def _words_of(self, file: str) -> object:
        return self._environment.get_template(file).module


def environment_of(loader: BaseLoader, *, escaped: bool) -> Environment:
    """Return the environment that compiles templates, either as text or as HTML."""
    return Environment(
        loader=loader,
        autoescape=escaped,  # noqa: S701 - plain text must not be escaped; HTML is, in an environment of its own
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
        cache_size=-1,  # keep all: nothing is read again
    )
