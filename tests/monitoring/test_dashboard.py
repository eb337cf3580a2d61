"""The dashboard: it asks for what the programs report, in expressions that Prometheus takes."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from deploy.monitoring.dashboard import ROWS, curves
from deploy.monitoring.export import FOLDER
from tests.monitoring import promtool
from tests.monitoring.test_rules import known_metrics, used


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    return panels


def test_a_row_for_each_question() -> None:
    """Rows stand in the order in which somebody asks, each above its panels."""
    questions = ["Is mail leaving?", "Who waits?", "What limits us?", "What comes back?"]
    expected = [title for question in questions for title in (question, *(panel.title for panel in ROWS[question]))]

    assert expected == [panel["title"] for panel in _panels()]


def test_panels_do_not_overlap() -> None:
    """Each panel stands beside or below the one before, within the width of the page."""
    places = [panel["gridPos"] for panel in _panels()]

    assert {True} == {place["x"] + place["w"] <= 24 for place in places}
    assert {True} == {(one["y"], one["x"]) < (other["y"], other["x"]) for one, other in pairwise(places)}


def test_the_file_has_every_curve() -> None:
    """The file asks for all curves, and no others."""
    asked = [target["expr"] for panel in _panels() for target in panel.get("targets", ())]

    assert [curve.expr for curve in curves()] == asked


def test_curves_of_a_panel_have_names_of_their_own() -> None:
    """Grafana tells the expressions of a panel apart by their letters."""
    for panel in _panels():
        letters = [target["refId"] for target in panel.get("targets", ())]

        assert sorted(set(letters)) == letters
        assert "" not in letters


def test_metrics_exist() -> None:
    """Every metric is in the registry of a program."""
    named = {name for curve in curves() for name in used(curve.expr)}

    assert set() == named - set(known_metrics())


def test_recorded_rules_exist() -> None:
    """Every recorded rule that a curve asks for is one."""
    groups = yaml.safe_load((FOLDER / "rules.yaml").read_text(encoding="utf-8"))["groups"]
    recorded = {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    asked = {curve.expr.partition("{")[0] for curve in curves() if curve.expr.startswith("pause_notifications:")}

    assert asked
    assert set() == asked - recorded


def test_prometheus_takes_them(tmp_path: Path) -> None:
    """Every expression is one."""
    promtool.required()
    rules = [{"record": f"curve_{number}", "expr": curve.expr} for number, curve in enumerate(curves())]
    file = tmp_path / "curves.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "curves", "rules": rules}]}), encoding="utf-8")

    assert promtool.check_rules(file) == ""
