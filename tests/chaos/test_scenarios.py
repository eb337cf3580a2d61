"""The short form of every chaos scenario, on real processes and a cluster of three brokers."""

from __future__ import annotations

import pytest

from tests.chaos.ground import Ground
from tests.chaos.playing import play
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.scenarios.comparison import PEERS

_SEED = 1


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_scenario_keeps_all_its_limits(name: str, three_brokers: Ground) -> None:
    """Nothing is lost, doubled or out of order whatever is done to the system; `make chaos` plays the long form."""
    result = await play(three_brokers, SCENARIOS[name], _SEED, full=False)

    broken = [f"{one.name}: {one.value:g}, allowed {one.limit} {one.why}" for one in result.figures if not one.met]
    assert ("", []) == (result.trouble, broken)
    assert result.findings.acknowledged > 0


async def test_a_peer_meets_the_same_load_and_judge(three_brokers: Ground) -> None:
    """A plain peer is played by the same rig, and most of its mails arrive through a kill."""
    result = await play(three_brokers, SCENARIOS["six-kills"], _SEED, full=False, peer=PEERS[-1])

    assert ("", 300) == (result.trouble, result.findings.acknowledged)
    assert result.findings.mails > 300
