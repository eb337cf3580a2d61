"""The drills and their page agree, and two of them go as they are told."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from tests.alerts.environment import ALERTS
from tests.drills.drills import DRILLS, broken_tree
from tests.drills.page import PAGE
from tests.drills.running import running
from tests.drills.walk import Drill, walk
from tests.monitoring import promtool
from tests.monitoring.test_rules import known_metrics, used
from tests.test_plain_english import MOST_WORDS, prose, sentences, words

ROOT = Path(__file__).parents[2]
WALKED = ("credentials-expired", "contacts-emptied")
"""One halts, and one needs the operator's commands."""
PARTS = ["What you see", "What to do", "What was wrong at first"]

_of_drill = pytest.mark.parametrize("drill", DRILLS.values(), ids=DRILLS)


def _sections() -> dict[str, str]:
    parts = re.split(r"^## (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


class TestPage:
    """deploy/runbooks/drills.md."""

    def test_each_drill_has_a_section(self) -> None:
        """The page has the ten drills in the order of the program, after what is common to all."""
        assert list(DRILLS) == [heading for heading in _sections() if heading in DRILLS]
        assert 10 == len(DRILLS)

    @_of_drill
    def test_a_section_is_complete(self, drill: Drill) -> None:
        """It has three parts, and links the runbook of the drill's first alert, which exists."""
        section = _sections()[drill.name]

        assert PARTS == re.findall(r"^\*\*(.*)\.\*\*", section, re.MULTILINE)
        assert f"]({drill.runbook})" in section
        assert (PAGE.parent / drill.runbook).exists()

    @_of_drill
    def test_its_figures_are_in_the_table(self, drill: Drill) -> None:
        """The program wrote a row for it, in which nothing is lost."""
        (row,) = [
            line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| [{drill.name}]")
        ]

        assert "0" == row.strip("| ").split(" | ")[-2]

    def test_sentences_are_short(self) -> None:
        """No sentence has more than 30 words."""
        found = [one for text in prose(PAGE.relative_to(ROOT)) for one in sentences(text) if words(one) > MOST_WORDS]

        assert [] == found


class TestProgram:
    """What the drills name."""

    @_of_drill
    def test_alerts_are_rules(self, drill: Drill) -> None:
        """Each alert that is to fire is one of the rules."""
        known = {" ".join(name.split()[:2]) for name in ALERTS}

        assert set() == set(drill.alerts) - known

    @_of_drill
    def test_metrics_exist(self, drill: Drill) -> None:
        """Each metric is in the registry of a program."""
        assert set() == {name for expr in drill.metrics for name in used(expr)} - set(known_metrics())

    def test_the_bad_release_differs(self, tmp_path: Path) -> None:
        """Its source raises where e-mails are composed, and has another version."""
        tree = broken_tree(tmp_path / "bad")

        assert "a mistake of the release" in (tree / "consumers/delivery/composer.py").read_text(encoding="utf-8")
        assert ["Version: 9.9.9"] == [
            line for line in next(tree.glob("*.dist-info/METADATA")).read_text().splitlines() if "Version: 9" in line
        ]


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize("name", WALKED)
def test_a_drill_goes_as_it_is_told(name: str, tmp_path: Path) -> None:
    """The doctor names the cause, the alerts fire, the runbook mends it: nothing is lost, nothing is sent twice."""
    promtool.required()

    async def walked() -> Any:
        async with running(tmp_path) as stand:
            return await walk(DRILLS[name], stand, print)

    figures = asyncio.run(walked())

    assert set(DRILLS[name].alerts) <= set(figures.alerts)
    assert (0, 0) == (figures.lost, figures.twice)
