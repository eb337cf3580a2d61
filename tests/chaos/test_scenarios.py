"""The short form of every chaos scenario, on real processes and real brokers."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from deploy.local.kafka.errors import BrokerError
from tests.chaos.cluster import SharedCluster
from tests.chaos.scenario import Figure, play
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.scenarios.comparison import PEERS
from tests.chaos.side_by_side import Played
from tests.kafka import without_kafka

_IN_EVERY_RUN = {"ses-faults"}  # `tests/end_to_end/test_sigkill.py` kills a replica, too
_SLACK = 4
"""`make chaos` checks the time limits: here all other tests use the same cores, and only a standstill counts."""


@pytest.mark.timeout(480)  # for its turn, too
@pytest.mark.parametrize(
    "scenario",
    [
        one.name if one.name in _IN_EVERY_RUN else pytest.param(one.name, marks=pytest.mark.slow)
        for one in SCENARIOS.values()
        if not one.variant
    ],
)
async def test_a_scenario_keeps_all_its_limits(scenario: str, played: Played, pytestconfig: pytest.Config) -> None:
    """Nothing is lost, sent twice or out of order under any fault; `make chaos` plays the full form."""
    try:
        result = await asyncio.wrap_future(played[scenario])
    except BrokerError as error:
        without_kafka(pytestconfig, str(error))

    figures = map(_with_slack, result.figures)
    broken = [f"{one.name}: {one.value:g}, allowed {one.limit} {one.why}" for one in figures if not one.met]
    assert "" == result.trouble
    assert [] == broken
    assert result.findings.acknowledged > 0


def _with_slack(figure: Figure) -> Figure:
    if figure.unit != "s" or figure.limit is None:
        return figure
    return replace(figure, limit=figure.limit * _SLACK)


@pytest.mark.slow
async def test_a_peer_meets_the_same_load_and_judge(one_broker: SharedCluster) -> None:
    """A plain peer runs in the same set-up, and most of its e-mails arrive despite a kill."""
    result = await play(one_broker, SCENARIOS["six-kills"], 1, full=False, peer=PEERS[-1])

    assert "" == result.trouble
    assert 300 == result.findings.acknowledged
    assert result.findings.mails > 300
