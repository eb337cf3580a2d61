"""
Notices rendered as pages with gaps.

Most e-mails of one notice differ only in names and dates. A page is rendered once, with a gap for each value that its
templates only show, and the gaps are filled for every e-mail. Rendering a page takes twenty times as long.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from functools import cache, lru_cache
from typing import Any

from jinja2 import BaseLoader, BytecodeCache, Environment, StrictUndefined, Template, nodes
from jinja2.bccache import Bucket
from markupsafe import escape

from consumers.notices.looked_into import looked_into
from consumers.notices.template_check import LAYOUTS, words_of

_PAGES_KEPT = 1000
"""Opened notices that are kept. Pause reasons are the one text that templates look into, and few differ."""

_GAP = re.compile("\ufdd0([a-z0-9_]*)\ufdd1")  # non-characters, which no value may contain

_LOOKED_INTO: dict[tuple[str, ...], Container[str]] = {}
"""What was found before, by the texts of a notice and of all that it uses."""

_Shape = tuple[tuple[str, object], ...]
"""The values that a page is rendered with: a gap for what its templates only show, all else as it is."""


class Pages:
    """
    Every notice of *names* as text and as HTML, read and compiled at construction.

    *names* are files within the folder of their language, which also holds the macros of that language, `words.j2`.
    *its_globals* are the values that all e-mails share. No value may contain the characters U+FDD0 and U+FDD1.

    Raises:
        jinja2.TemplateError: at construction.
    """

    def __init__(self, loader: BaseLoader, names: Iterable[str], its_globals: Mapping[str, Any] | None = None) -> None:
        names = list(names)
        # Two environments compile each file, so that no block can forget to escape, and no subject is escaped.
        self.text, self.html = (_Edition(loader, layout, names, its_globals or {}) for layout in LAYOUTS)
        self.looked_into = self._looked_into(names)
        """For each notice, the names of the values that its templates look into."""
        self._opened = lru_cache(maxsize=_PAGES_KEPT)(self._open)

    def render(self, name: str, values: Mapping[str, Any]) -> tuple[str, str, str]:
        """Return subject, text and HTML of a notice."""
        subject, text, html = self._opened(name, _shape(values, self.looked_into[name]))
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

    def _looked_into(self, names: Iterable[str]) -> dict[str, Container[str]]:
        source, parsed = cache(self.text.source), cache(self.text.parsed)
        found = {}
        for name in names:
            files = (name, words_of(name), *LAYOUTS)
            key = tuple(map(source, files))
            if key not in _LOOKED_INTO:
                _LOOKED_INTO[key] = looked_into(map(parsed, files))
            found[name] = _LOOKED_INTO[key]
        return found


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
    """Every notice, compiled as text or as HTML."""

    def __init__(self, loader: BaseLoader, layout: str, names: Iterable[str], its_globals: Mapping[str, Any]) -> None:
        self._globals = its_globals
        self._loader = loader
        self._environment = environment_of(loader, escaped=layout.endswith(".html.j2"))
        self._layout = self._environment.get_template(layout)
        self._words = lru_cache(maxsize=None)(self._words_of)
        self._notices = {name: self._compiled(name) for name in names}

    def source(self, file: str) -> str:
        """Return the text of a template."""
        return self._loader.get_source(self._environment, file)[0]

    def parsed(self, file: str) -> nodes.Template:
        """Return the syntax of a template."""
        return self._environment.parse(self.source(file))

    def rendered(self, name: str, block: str, values: Mapping[str, Any]) -> str:
        """Render a notice, or one *block* of it."""
        template = self._notices[name]
        context = template.new_context(dict(values))
        root = template.blocks[block] if block else template.root_render_func
        return "".join(root(context))

    def _compiled(self, name: str) -> Template:
        its_globals = {
            **self._globals,
            "layout": self._layout,
            "language": name.partition("/")[0],
            "words": self._words(words_of(name)),
        }
        return self._environment.get_template(name, globals=its_globals)

    def _words_of(self, file: str) -> object:
        return self._environment.get_template(file).module


class _KeptCode(BytecodeCache):
    """Keeps what was compiled, in memory. Jinja compiles a template anew if its text is another one."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Fill the bucket if its template was compiled."""
        if bucket.key in self._code:
            bucket.bytecode_from_string(self._code[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what was compiled."""
        self._code[bucket.key] = bucket.bytecode_to_string()


_CODE = {escaped: _KeptCode() for escaped in (False, True)}
"""By edition. To compile all notices takes half a second, which the tests' hundreds of forked replicas save."""


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
        bytecode_cache=_CODE[escaped],
        cache_size=-1,  # keep all: nothing is read again
    )
