"""
Find which values a notice looks into, and which it only shows, from the syntax of its templates.

A template shows a value if the value's whole text comes out unchanged: as `{{ name }}`, joined to other text, chosen
by an `if`, and all of these through `set`, a loop over lists of values, or a macro. It may also ask whether there is
any. Everything else looks into a value: filters, tests, comparisons, indexes, other calls.

The analysis follows values from name to name. It ignores scope and order: two variables of one name count as one.
So it may report too many values, never too few. A page that is rendered with too many fixed values is only slower.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass
from itertools import chain, repeat

from jinja2 import nodes

_LOOK = "(look)"
_EMAIL = "(email)"
_DEEPEST = 3
"""Lists within lists that are followed; a value inside more of them counts as looked into."""


class _Everything(Container[str]):
    def __contains__(self, _name: object) -> bool:
        return True


class _InDoubt(Exception):
    """A template uses syntax that this analysis does not follow."""


@dataclass(frozen=True)
class _Flow:
    """Where a value goes next."""

    target: str
    """The variable, parameter, macro or block that receives it, or one of the names in brackets above."""
    deeper: int = 0
    """How many more lists it is in there; negative if a loop takes it out of them."""
    as_text: bool = False
    """Whether it becomes text on its way. A list does not keep the text of its items."""


def looked_into(templates: Iterable[nodes.Template]) -> Container[str]:
    """Return the names of the values that *templates*, rendered together, look into: all if that is in doubt."""
    analysis = _Analysis(list(templates))
    try:
        analysis.run()
    except _InDoubt:
        return _Everything()
    return frozenset(name for name in [*analysis.flows] if analysis.looks_into(name))


class _Analysis:
    """Collects the flows of every name."""

    def __init__(self, templates: list[nodes.Template]) -> None:
        self.flows: defaultdict[str, set[_Flow]] = defaultdict(set)
        self._templates = templates
        self._macros: defaultdict[str, list[nodes.Macro]] = defaultdict(list)
        self._blocks = {block.name for template in templates for block in template.find_all(nodes.Block)}
        self._bound: set[str] = set()

    def run(self) -> None:
        """Raise _InDoubt for syntax that is not followed."""
        for template in self._templates:
            for macro in template.find_all(nodes.Macro):
                self._macros[macro.name].append(macro)
        for template in self._templates:
            self._statements(template.body, _EMAIL)
        if self._bound & {"layout", "self", "words", *self._macros}:  # a call may then reach something else
            raise _InDoubt

    def looks_into(self, name: str) -> bool:
        """Follow a value from *name* to everywhere it goes."""
        reached = {(name, 0)}
        ahead = [*reached]
        while ahead:
            here, depth = ahead.pop()
            for flow in self.flows.get(here, ()):
                there = flow.target, depth + flow.deeper
                if flow.target == _LOOK or (flow.as_text and depth) or not 0 <= there[1] <= _DEEPEST:
                    return True
                if there not in reached:
                    reached.add(there)
                    ahead.append(there)
        return False

    def _statements(self, statements: Iterable[nodes.Node], text: str) -> None:
        for statement in statements:
            self._statement(statement, text)

    def _statement(self, node: nodes.Node, text: str) -> None:
        """Follow the values in a statement, whose output becomes part of the *text* of that name."""
        match node:
            case nodes.Output():
                self._values(node.nodes, _Flow(text, as_text=True))
            case nodes.If():
                self._condition(node.test)
                self._statements([*node.body, *node.elif_, *node.else_], text)
            case nodes.For(recursive=False):
                self._bind(node.target, node.iter, -1)
                self._value(node.iter, _Flow("loop"))  # which knows the items before and after
                self._condition(node.test or nodes.Const(None))
                self._statements([*node.body, *node.else_], text)
            case nodes.Assign():
                self._bind(node.target, node.node)
            case nodes.Macro(defaults=[]):
                self._bound.update(parameter.name for parameter in node.args)
                self._statements(node.body, node.name)
            case nodes.Block():
                self.flows[node.name] |= {_Flow(shown_by, as_text=True) for shown_by in (text, "self", "super")}
                self._statements(node.body, node.name)
            case nodes.Extends(template=nodes.Name(name="layout")):
                pass
            case _:
                raise _InDoubt

    def _bind(self, target: nodes.Node, value: nodes.Node, deeper: int = 0) -> None:
        match target:
            case nodes.Name():
                self._bound.add(target.name)
                self._value(value, _Flow(target.name, deeper))
            case nodes.Tuple():
                for item in target.items:
                    self._bind(item, value, deeper - 1)
            case _:
                raise _InDoubt

    def _value(self, node: nodes.Node, flow: _Flow) -> None:
        """Follow the names whose value an expression passes on, along *flow*; it looks into all others."""
        match node:
            case nodes.Name():
                self.flows[node.name].add(flow)
            case nodes.Const() | nodes.TemplateData():
                pass
            case nodes.CondExpr():
                self._condition(node.test)
                self._values([node.expr1, *([node.expr2] if node.expr2 else [])], flow)
            case nodes.And() | nodes.Or() | nodes.Add():
                self._values([node.left, node.right], flow)
            case nodes.Concat():
                self._values(node.nodes, _Flow(flow.target, flow.deeper, as_text=True))
            case nodes.List() | nodes.Tuple() if not flow.as_text:
                self._values(node.items, _Flow(flow.target, flow.deeper + 1))
            case nodes.Call(node=nodes.Getattr(node=nodes.Name(name="self"), attr=block)) if block in self._blocks:
                self.flows[block].add(flow)
            case nodes.Call(
                node=nodes.Name(name=macro) | nodes.Getattr(node=nodes.Name(name="words"), attr=macro),
                kwargs=[],
                dyn_args=None,
                dyn_kwargs=None,
            ) if macro in self._macros:
                self.flows[macro].add(flow)
                self._arguments(macro, node.args)
            case _:
                self._look(node)

    def _values(self, values: Iterable[nodes.Node], flow: _Flow) -> None:
        for value in values:
            self._value(value, flow)

    def _arguments(self, name: str, arguments: Iterable[nodes.Node]) -> None:
        for macro in self._macros[name]:
            parameters = [parameter.name for parameter in macro.args]
            for parameter, value in zip(chain(parameters, repeat(_LOOK)), arguments, strict=False):
                self._value(value, _Flow(parameter))

    def _condition(self, node: nodes.Node) -> None:
        """Follow a condition, which may ask whether there is a value."""
        match node:
            case nodes.Name():
                pass
            case nodes.Not():
                self._condition(node.node)
            case nodes.And() | nodes.Or():
                self._condition(node.left)
                self._condition(node.right)
            case _:
                self._look(node)

    def _look(self, node: nodes.Node) -> None:
        names = [node] if isinstance(node, nodes.Name) else node.find_all(nodes.Name)
        for name in names:
            self.flows[name.name].add(_Flow(_LOOK))
