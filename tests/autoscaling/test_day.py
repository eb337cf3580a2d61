"""The simulated day: what docs/scaling.md says holds, and is what the program writes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from consumers.limits import By
from tests.autoscaling.autoscaler import SYNC_SECONDS
from tests.autoscaling.day import PARTS, SCRAPE_SECONDS, Course, courses, play, scalers
from tests.autoscaling.fleet import PARTITIONS, STEP_SECONDS, Fleet, Surroundings
from tests.autoscaling.page import PAGE, PLOT, assumptions, plot, table

OURS = "by reason"
HALTED = Surroundings(events_a_second=100, burst=0, account_rate=500, ses_seconds=0.1, halted=True)
AT_SES_RATE = Surroundings(events_a_second=400, burst=0, account_rate=500, ses_seconds=0.1, halted=False)
SES_SLOW = Surroundings(events_a_second=100, burst=0, account_rate=500, ses_seconds=1.0, halted=False)


@cache
def _days() -> Mapping[str, Course]:
    return courses()


def _after(minutes: int, around: Surroundings) -> Course:
    """Return what our scaler does while everything stays as it is."""
    return play(scalers()[0], lambda _: around, minutes * 60)


class TestReasons:
    """Each reason, for an hour."""

    @pytest.mark.parametrize("around", [HALTED, AT_SES_RATE], ids=["a halt", "the rate of SES"])
    def test_no_reason_to_add(self, around: Surroundings) -> None:
        """Where more replicas do not help none are added, however much waits."""
        course = _after(60, around)

        assert {2} == set(course.replicas)
        assert course.lags[-1] > 100_000

    def test_a_slow_ses_is_a_reason(self) -> None:
        """Replicas are added until they are enough; what is too many leaves once, and nothing swings."""
        course = _after(120, SES_SLOW)
        peak = course.replicas.index(max(course.replicas))

        assert sorted(course.replicas[:peak]) == course.replicas[:peak]
        assert sorted(course.replicas[peak:], reverse=True) == course.replicas[peak:]
        assert 2 < course.replicas[-1] <= PARTITIONS
        assert course.lags[-1] < 1000

    def test_the_fleet_says_why(self) -> None:
        """The replicas of the fleet name the reason as real ones do."""
        reasons: dict[str, Any] = {}
        for name, around in {"halt": HALTED, "rate": AT_SES_RATE, "slow": SES_SLOW}.items():
            fleet = Fleet(2)
            for at in range(0, 60, STEP_SECONDS):
                fleet.step(at, 2, around)
            reasons[name] = fleet.limit.by

        assert {"halt": By.HALT, "rate": By.SES_RATE, "slow": By.SES_LATENCY} == reasons

    def test_no_event_is_lost(self) -> None:
        """What came was sent, or still waits."""
        course = _after(30, SES_SLOW)

        assert 30 * 60 * 100 == pytest.approx(sum(course.delays.values()) + course.lags[-1])


class TestDay:
    """A whole day."""

    def test_only_the_slow_ses_adds_replicas(self) -> None:
        """By reason neither midnight's reminders nor a halt changes the number."""
        changed = {name: _days()[OURS].part(times).rebalances for name, times in PARTS.items()}

        assert ["SES slow"] == [name for name, count in changed.items() if count]

    def test_rebalances_less_than_by_lag(self) -> None:
        """By lag there are at least five times as many rebalances."""
        ours, *others = (day.rebalances for day in _days().values())

        assert ours * 5 <= min(others)

    def test_is_scaled_as_often_as_prometheus_knows(self) -> None:
        """A step is never longer than the autoscaler's or the scrape's interval."""
        assert 0 == SYNC_SECONDS % STEP_SECONDS == SCRAPE_SECONDS % SYNC_SECONDS


class TestPage:
    """docs/scaling.md."""

    @pytest.mark.parametrize("kind", ["day", "assumed"])
    def test_has_these_figures(self, kind: str) -> None:
        """The page has what the program writes."""
        written = {"day": lambda: table(_days()), "assumed": assumptions}[kind]()

        assert f"<!-- {kind} figures -->\n{written}<!-- end" in PAGE.read_text(encoding="utf-8")

    def test_has_this_plot(self) -> None:
        """So does the plot."""
        assert plot(_days()) == PLOT.read_text(encoding="utf-8")
