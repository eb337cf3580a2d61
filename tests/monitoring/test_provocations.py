"""The suite that provokes every alert: it leaves none out, and changes no more than times."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.monitoring.export import PREFIX, rules
from deploy.monitoring.model import Site
from tests import alerts
from tests.alerts.environment import ALERTS
from tests.alerts.scaled import FACTOR, THRESHOLDS, scaled_expr, scaled_rules

_TIMES = re.compile(r"\[[^\]]*\]|offset \w+")


def _provoked() -> Iterator[str]:
    """Yield the rules that the suite's tests declare."""
    for path in sorted(Path(alerts.__file__).parent.glob("test_*.py")):
        module = importlib.import_module(f"tests.alerts.{path.stem}")
        for _, function in inspect.getmembers(module, inspect.isfunction):
            marks = [mark for mark in getattr(function, "pytestmark", []) if mark.name == "provokes"]
            yield from (rule for mark in marks for rule in mark.args)


def test_every_rule_is_provoked_once() -> None:
    """`make test-alerts` sees each rule firing."""
    assert sorted(ALERTS) == sorted(_provoked())


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("rate(a[5m])", "rate(a[10000ms])"),
        ("max_over_time((a)[10m:30s] offset 1d)", "max_over_time((a)[20000ms:1000ms] offset 2880000ms)"),
        ('job:a_5m:rate30m{le="60.0"} > 300', 'job:a_5m:rate30m{le="60.0"} > 300'),
    ],
)
def test_windows_steps_and_offsets_are_divided(expr: str, expected: str) -> None:
    """Names, labels and numbers stay."""
    assert expected == scaled_expr(expr)


def _pairs() -> Iterator[tuple[str, str, str]]:
    """Yield the name of each rule, and its expression as it ships and scaled, both without times."""
    ships, scaled = (
        [rule for group in document["groups"] for rule in group["rules"]]
        for document in (rules(Site()), scaled_rules(Site()))
    )
    for before, after in zip(ships, scaled, strict=True):
        name = before.get("alert", before.get("record")).removeprefix(PREFIX)
        yield name, _TIMES.sub("", before["expr"]), _TIMES.sub("", after["expr"])


def test_nothing_else_is_changed() -> None:
    """Expressions differ in times, and in the thresholds that are named."""
    changed = {name for name, before, after in _pairs() if before != after}

    assert set(THRESHOLDS) == changed


def test_named_thresholds_are_divided() -> None:
    """Each stands in the rule of its alert, with the factor."""
    for name, before, after in _pairs():
        form, number = THRESHOLDS.get(name, ("", 0))
        if before != after:
            assert before.replace(form.format(number), form.format(f"{number / FACTOR:g}")) == after
