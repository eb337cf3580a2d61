"""Prometheus's own tool: what it thinks of rules, and what rules say to series that a test makes up."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from deploy.monitoring.export import PREFIX
from tests.contract.installed import need, present


def required() -> None:
    """Return if promtool is there; otherwise install it in CI, or skip and say what to do."""
    need(lambda: present("promtool"), "prometheus")


@dataclass(frozen=True)
class Story:
    """What happens to some series, and when an alert fires."""

    name: str
    alert: str
    severity: str
    series: Mapping[str, str]
    """Samples of each series in promtool's notation, one a *step*."""
    firing: tuple[str, ...] = ()
    """When it fires. A story without is one in which it must not."""
    quiet: tuple[str, ...] = ()
    """When it does not."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that the alert has beside its severity."""
    step: str = "1m"

    @property
    def recovers(self) -> bool:
        """Return whether it fires, after it did not, and ends."""
        return bool(self.firing) and len(self.quiet) > 1 and _minutes(self.quiet[-1]) > _minutes(self.firing[-1])


def told(story: Story, rules: Path, folder: Path) -> str:
    """Return what promtool complains about, if an alert does not behave as the story has it."""
    test, needed = folder / "story.yaml", folder / "rules.yaml"
    needed.write_text(yaml.safe_dump(_needed(story, rules)), encoding="utf-8")
    test.write_text(yaml.safe_dump(_document(story, needed)), encoding="utf-8")
    return _complaint("test", "rules", str(test))


def check_rules(rules: Path) -> str:
    """Return what promtool complains about in a file of rules."""
    return _complaint("check", "rules", str(rules))


def check_config(path: Path) -> str:
    """Return what promtool complains about in a configuration."""
    return _complaint("check", "config", str(path))


def _complaint(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@cache
def _groups(rules: Path) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load(rules.read_text(encoding="utf-8"))["groups"]
    return groups


def _needed(story: Story, rules: Path) -> dict[str, Any]:
    """Return the alert's rules and what its group records for them: to evaluate all would take minutes."""
    name = f"{PREFIX}{story.alert}"
    return {
        "groups": [
            {**group, "rules": [rule for rule in group["rules"] if rule.get("alert", name) == name]}
            for group in _groups(rules)
            if name in [rule.get("alert") for rule in group["rules"]]
        ]
    }


def _document(story: Story, rules: Path) -> dict[str, Any]:
    selected = {"alertname": f"{PREFIX}{story.alert}", "alertstate": "firing", "severity": story.severity}
    selector = ",".join(f'{name}="{value}"' for name, value in (selected | dict(story.labels)).items())
    asked = [(at, True) for at in story.firing] + [(at, False) for at in story.quiet]
    return {
        "rule_files": [str(rules)],
        "evaluation_interval": story.step,
        "tests": [
            {
                "name": story.name,
                "interval": story.step,
                "input_series": [{"series": name, "values": values} for name, values in story.series.items()],
                "promql_expr_test": [
                    {
                        "expr": f"count(ALERTS{{{selector}}}) > bool 0",
                        "eval_time": at,
                        "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
                    }
                    for at, fires in asked
                ],
            }
        ],
    }


def _minutes(span: str) -> float:
    return float(span[:-1]) * {"m": 1, "h": 60, "d": 1440}[span[-1]]
