"""The bench works, in numbers too small to mean anything: else it would rot from one look at it to the next."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench.__main__ import run
from tests.bench.caller import Answered
from tests.bench.cluster import with_ses
from tests.bench.figures import OURS, Figure, Target, rows
from tests.bench.measurements import MEASUREMENTS
from tests.bench.plot import svg
from tests.bench.readme import headline, section
from tests.bench.report import Report
from tests.bench.rest import keeps_up
from tests.bench.sizes import TINY
from tests.bench.targets import TARGETS
from tests.kafka import Kafka

_SIDE_BY_SIDE = ("backlog", "rest", "cold", "bulk"), ("rate", "scaling", "ledger", "followed", "feedback", "flat")
"""Measured one after another they take half as long again, and what they measure does not matter here."""


class TestRun:
    """A run in tiny numbers, on real processes."""

    @pytest.mark.slow
    @pytest.mark.timeout(300)
    async def test_measures_every_part_and_tells_of_it(self, kafka: Kafka, tmp_path: Path) -> None:
        """Each part gives figures of this service, and tables, JSON and picture can be made of them."""

        async def measured(names: tuple[str, ...]) -> Report:
            (logs := tmp_path / names[0]).mkdir()
            async with with_ses(logs, kafka.bootstrap_servers) as env:
                return await run(env, TINY, names, 1, lambda _: None, lambda *_: None)

        report, other = await asyncio.gather(*map(measured, _SIDE_BY_SIDE))
        report.parts += other.parts
        told = json.loads(json.dumps(report.as_json()))
        console = Console(record=True, width=140, file=io.StringIO())
        for part in report.parts:
            console.print(part.table())
        tables = console.export_text()

        assert sorted(MEASUREMENTS) == sorted(told["parts"])
        assert [] == [name for name, found in told["parts"].items() if not any(OURS in one["medians"] for one in found)]
        assert [] == [part.title for part in MEASUREMENTS.values() if part.title not in tables]
        assert 9 == svg(told).count('class="title"')
        asked = [name for name, found in told["parts"].items() if any(one["met"] is not None for one in found)]
        assert [True] * len(asked) == [MEASUREMENTS[name].title in section(told) for name in asked]
        assert {"backlog", "rest", "cold"} <= set(asked) <= TARGETS.keys()


class TestHeadline:
    """The README's two lines."""

    def test_compares_events_and_tells_waits(self) -> None:
        """The lines have our events, the peer's, and both percentiles."""
        report = {"parts": {"backlog": [_row("events", 1310, FastStream=553)], "rest": _percentiles(6.16, 16.1)}}

        lines = headline(report)

        assert lines is not None
        assert [["1,310 events/s"], ["p50 6.16 ms, p99 16.1 ms"]] == [
            re.findall(r"\*\*(.*?)\*\*", line) for line in lines.splitlines()
        ]
        assert "SES: 553." in lines

    def test_a_missing_part_leaves_the_readme_alone(self) -> None:
        """A report of some parts alone has no headline."""
        assert headline({"parts": {"rest": _percentiles(6, 16)}}) is None


def _row(name: str, ours: float, **peers: float) -> dict[str, object]:
    return {"name": name, "medians": {OURS: ours, **peers}}


def _percentiles(p50: float, p99: float) -> list[dict[str, object]]:
    return [_row("p50 at 50/s over SES", p50), _row("p99 at 50/s over SES", p99)]


class TestRows:
    """Figures of several rounds, put together."""

    @pytest.mark.parametrize(
        ("more_is_better", "met"), [pytest.param(True, True, id="more"), pytest.param(False, False, id="less")]
    )
    def test_compares_medians(self, *, more_is_better: bool, met: bool) -> None:
        """The ratio is to the best peer, the most or the least; a target in terms of a peer goes by its median."""
        told = {OURS: (1, 9, 3), "a": (2, 2, 2), "b": (4, 4, 4)}
        rounds = [
            [Figure("x", "", values[n], who, more_is_better=more_is_better) for who, values in told.items()]
            for n in range(3)
        ]

        (row,) = rows(rounds, {"x": Target(1.2, peer="a")})

        assert (3 / (4 if more_is_better else 2), 2.4, met) == (row.ratio, row.limit, row.met)


class TestKeepsUp:
    """Whether a rate of calls is sustained."""

    @pytest.mark.parametrize(
        ("statuses", "milliseconds", "expected"),
        [
            pytest.param({200: 4}, [900, 60, 60, 60], True, id="a slow one is not a queue"),
            pytest.param({200: 4}, [60, 200, 300, 400], False, id="a queue grows"),
            pytest.param({200: 3, 202: 1}, [60, 60, 60, 60], False, id="one was not answered 200"),
            pytest.param({200: 3, 0: 1}, [60, 60, 60, 60], False, id="one was not answered"),
        ],
    )
    def test_says_whether_no_queue_grows(
        self, statuses: dict[int, int], milliseconds: list[float], *, expected: bool
    ) -> None:
        """Every call is answered 200, and the last ones wait no longer than the first."""
        assert expected == keeps_up(Answered(Counter(statuses), milliseconds, 0.0))
