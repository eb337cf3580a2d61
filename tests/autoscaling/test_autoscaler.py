"""The arithmetic of the HorizontalPodAutoscaler, as Kubernetes documents it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.autoscaling.autoscaler import (
    KUBERNETES_DOWN,
    KUBERNETES_UP,
    Autoscaler,
    Behavior,
    Policy,
    Rules,
    behavior_of,
)
from tests.autoscaling.day import manifest

PLAIN = Behavior(1, 100, KUBERNETES_UP, KUBERNETES_DOWN)


def _run(autoscaler: Autoscaler, current: int, metric: float, seconds: int) -> list[int]:
    """Return the number after each sync while the metric stays."""
    numbers = [current]
    for at in range(0, seconds, 15):
        numbers.append(autoscaler.wanted(float(at), numbers[-1], metric))
    return numbers


class TestAutoscaler:
    """One autoscaler."""

    @pytest.mark.parametrize(
        ("current", "metric", "expected"),
        [
            (10, 10.9, 10),  # within a tenth
            (10, 11.1, 12),  # beyond it, rounded up
            (11, 12.0, 11),  # one of eleven is within a tenth
            (1, 100.0, 5),  # four more pods, or twice as many
            (10, 100.0, 20),
        ],
    )
    def test_first_answer(self, current: int, metric: float, expected: int) -> None:
        """The number follows the metric, but for the tolerance and the policies."""
        assert expected == Autoscaler(PLAIN).wanted(0.0, current, metric)

    def test_without_a_metric_the_number_stays(self) -> None:
        """No answer of the trigger changes nothing."""
        assert 7 == Autoscaler(PLAIN).wanted(0.0, 7, None)

    def test_goes_down_after_the_window(self) -> None:
        """The highest recommendation of the window counts: 300 s after the last peak all of it goes at once."""
        autoscaler = Autoscaler(PLAIN)
        autoscaler.wanted(0.0, 8, 8.0)

        numbers = [autoscaler.wanted(float(at), 8, 2.0) for at in range(15, 316, 15)]

        assert [8] * 19 == numbers[:19]
        assert 2 == numbers[19]

    def test_a_policy_limits_a_period(self) -> None:
        """What changed within the period counts against its policy."""
        slow = Rules(0, (Policy(percent=True, value=50, period_seconds=60),))

        numbers = _run(Autoscaler(Behavior(1, 100, slow, slow)), 8, 1.0, 150)

        assert [8, 4, 4, 4, 4, 2, 2, 2, 2, 1, 1] == numbers

    @given(st.integers(1, 12), st.lists(st.floats(0, 50), min_size=1, max_size=40))
    def test_stays_within_its_bounds(self, current: int, metrics: list[float]) -> None:
        """The number is never outside the bounds, whatever the metric does."""
        ours = behavior_of(manifest())
        autoscaler, number = Autoscaler(ours), current
        for place, metric in enumerate(metrics):
            number = autoscaler.wanted(place * 15.0, number, metric)

            assert ours.at_least <= number <= ours.at_most

    @pytest.mark.parametrize("wanted", range(2, 13))
    @pytest.mark.parametrize("current", range(2, 13))
    def test_ours_gets_what_is_wanted(self, current: int, wanted: int) -> None:
        """With our manifest each number is reached within two hours, but for one replica that the tolerance hides."""
        numbers = _run(Autoscaler(behavior_of(manifest())), current, float(wanted), 2 * 3600)

        assert abs(numbers[-1] - wanted) <= (1 if max(current, wanted) > 9 else 0)
