"""
Check templates at the start, so that a mistake is found before an e-mail needs them.

What a template names is found from its syntax, in every branch. Each notice is then rendered from samples, which finds
what syntax does not show, such as a macro that is called with too few values.
"""

from __future__ import annotations

import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import BaseLoader, Environment, TemplateNotFound, TemplateSyntaxError, meta, nodes

LAYOUTS = ("layout.txt.j2", "layout.html.j2")
_BLOCKS = frozenset({"subject", "preheader", "heading", "lead", "todo"})
_GIVEN = frozenset({"layout", "language", "letterhead", "words"})

Values = Mapping[str, Any]


def words_of(notice: str) -> str:
    """Return the file of macros that a notice uses: that of its language, whose folder it is in."""
    return f"{notice.partition('/')[0]}/words.j2"


class TemplateCheck:
    """Finds the faults of the templates of a loader."""

    def __init__(self, environment: Environment, loader: BaseLoader) -> None:
        self._environment = environment
        self._loader = loader
        self._trees: dict[str, nodes.Template] = {}
        self._undeclared = lru_cache(maxsize=None)(self._undeclared_in)  # most notices share most files

    def notice(self, notice: str, values: Collection[str]) -> Iterator[str]:
        """Yield the faults of a notice, and of all that it uses; it is given *values*."""
        words, files = words_of(notice), (notice, *LAYOUTS)
        unreadable = [fault for file in (words, *files) for fault in self._unreadable([file])]
        if unreadable:
            yield from unreadable
            return
        yield from self._missing_blocks(notice)
        macros, of_notice = _defined(self._tree(words)), _defined(self._tree(notice))
        for file in self._with_references(files):
            yield from self._unknown_names(file, {*values, *of_notice, *_GIVEN})
            yield from self._unknown_macros(file, words, macros)
        for file in self._with_references([words]):
            yield from self._unknown_names(file, set())

    def explain(self, notice: str) -> str:
        """Return the fault by which a notice failed, and its place. Call it while the exception is handled."""
        try:
            self._environment.handle_exception()  # raises it again, with the lines of templates in its traceback
        except Exception as error:  # noqa: BLE001 - whatever a template does
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(".j2")]
            inner = [f"{frame.filename}:{frame.lineno}" for frame in reversed(frames)] or [self._place(notice)]
            used = next((place for place in inner if place.startswith(self._place(notice))), inner[0])
            at = "" if used == inner[0] else f" (used at {used})"
            return f"{inner[0]}: {type(error).__name__}: {error}{at}"

    def empty_block(self, notice: str, block: str) -> str:
        """Return the fault of a notice that says nothing where its reader looks first."""
        tree = self._tree(notice)
        line = next((one.lineno for one in tree.find_all(nodes.Block) if one.name == block), 1)
        return f"{self._place(notice, line)}: block {block} is empty"

    def unused(self, files: Iterable[str]) -> Iterator[str]:
        """Yield a fault for each of these templates that no checked notice uses: its name is probably wrong."""
        for file in files:
            if file not in self._trees:
                yield f"{self._place(file)}: no notice uses it"

    def _tree(self, file: str) -> nodes.Template:
        if file not in self._trees:
            source, path, _ = self._loader.get_source(self._environment, file)
            self._trees[file] = self._environment.parse(source, file, path)
        return self._trees[file]

    def _place(self, file: str, line: int | None = None) -> str:
        path = self._loader.get_source(self._environment, file)[1] or file
        return path if line is None else f"{path}:{line}"

    def _unreadable(self, files: Iterable[str]) -> Iterator[str]:
        try:
            files = self._with_references(files)
        except TemplateNotFound as error:
            yield f"{self._named_at(error.name)}: no such template"
            return
        except TemplateSyntaxError as error:
            yield f"{error.filename or error.name}:{error.lineno}: {error.message}"
            return
        for file in files:
            try:
                self._undeclared(file)
            except TemplateSyntaxError as error:  # such as a filter that does not exist
                yield f"{self._place(file, error.lineno)}: {error.message}"

    def _named_at(self, missing: object) -> str:
        """Return a missing template, and where another one names it, if one does."""
        for file, tree in self._trees.items():
            for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport)):
                if any(const.value == missing for const in node.find_all(nodes.Const)):
                    return f"{self._place(file, node.lineno)}: {missing}"
        return str(missing)

    def _with_references(self, files: Iterable[str]) -> list[str]:
        """Return these templates and all that they include or import by name."""
        found: dict[str, None] = {}
        ahead = list(files)
        while ahead:
            file = ahead.pop()
            if file not in found:
                found[file] = None
                ahead += [name for name in meta.find_referenced_templates(self._tree(file)) if name is not None]
        return list(found)

    def _missing_blocks(self, notice: str) -> Iterator[str]:
        tree = self._tree(notice)
        extends = tree.find(nodes.Extends)
        if extends is None:
            yield f"{self._place(notice, 1)}: must begin with {{% extends layout %}}"
        blocks = {block.name for block in tree.find_all(nodes.Block)}
        place = self._place(notice, 1 if extends is None else extends.lineno)
        yield from (f"{place}: no block {name}" for name in sorted(_BLOCKS - blocks))

    def _unknown_names(self, file: str, known: set[str]) -> Iterator[str]:
        tree = self._tree(file)
        unknown = self._undeclared(file) - known
        for name in tree.find_all(nodes.Name) if unknown else ():
            if name.ctx == "load" and name.name in unknown:
                yield f"{self._place(file, name.lineno)}: unknown variable {name.name}"

    def _undeclared_in(self, file: str) -> frozenset[str]:
        tree = self._tree(file)
        return frozenset(meta.find_undeclared_variables(tree) - _defined(tree) - self._environment.globals.keys())

    def _unknown_macros(self, file: str, words: str, macros: set[str]) -> Iterator[str]:
        for call in self._tree(file).find_all(nodes.Getattr):
            if isinstance(call.node, nodes.Name) and call.node.name == "words" and call.attr not in macros:
                yield f"{self._place(file, call.lineno)}: {words} defines no {call.attr}"


def _defined(tree: nodes.Template) -> set[str]:
    """Return the names that a template defines outside its blocks."""
    defined: set[str] = set()
    for node in tree.body:
        match node:
            case nodes.Assign() | nodes.AssignBlock():
                targets = nodes.Tuple([node.target], "store").find_all(nodes.Name)
                defined.update(name.name for name in targets)
            case nodes.Macro():
                defined.add(node.name)
            case nodes.Import():
                defined.add(node.target)
            case nodes.FromImport():
                defined.update(name if isinstance(name, str) else name[1] for name in node.names)
    return defined
