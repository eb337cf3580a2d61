"""Playing several scenarios at once."""

from __future__ import annotations

import asyncio

from tests.chaos.scenario import Scenario
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.side_by_side import side_by_side


async def test_no_two_go_the_second_way_at_once_and_the_longest_begin() -> None:
    """At most *most* scenarios run at once, long ones first, and one of those with the second listeners."""
    playing: list[Scenario] = []
    begun: list[Scenario] = []
    at_once = on_second_way = 0

    async def play(scenario: Scenario) -> None:
        nonlocal at_once, on_second_way
        begun.append(scenario)
        playing.append(scenario)
        at_once = max(at_once, len(playing))
        on_second_way = max(on_second_way, sum(one.second_way for one in playing))
        await asyncio.sleep(0)
        playing.remove(scenario)

    await side_by_side(list(SCENARIOS.values()), play, most=4)

    assert 4 == at_once
    assert 1 == on_second_way
    assert len(SCENARIOS) == len(set(begun))
    assert all(scenario.long for scenario in begun[: sum(one.long for one in SCENARIOS.values())])
