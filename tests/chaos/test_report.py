"""The report of a chaos run, with a few results that are built by hand."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console, RenderableType
from typer import BadParameter

from tests.chaos.charts import memory_chart, timeline_chart
from tests.chaos.checker import examine
from tests.chaos.cluster import World
from tests.chaos.evidence import Acknowledged, Evidence, Letter, Mail, Mark, RecipientState, Record
from tests.chaos.page import page
from tests.chaos.readme import section, write
from tests.chaos.report import as_json, compared, shown, table
from tests.chaos.scenario import Figure, Result, Scenario, common_figures

AT = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)
BEGAN = 1000.0
_VOID = frozenset({"meta"})


async def _nothing(_stage: World) -> Sequence[Figure]:
    return []


def _evidence(events: int = 6, *, lost: int = 0) -> Evidence:
    """Build events a second apart; each is sent half a second later, except for the last *lost*."""
    evidence = Evidence(BEGAN, letters=[Letter("unreadable", "pause-activated-0@1", None)])
    for number in range(events):
        name, at = f"d{number}", BEGAN + number
        evidence.acknowledged[name] = Acknowledged(name, "m1", "pause-activated", 0, frozenset({"m1"}), at)
        if number < events - lost:
            evidence.mails.append(Mail(name, "m1", f"id-{number}", at + 0.5, answer_lost=False))
            stood = {"m1": RecipientState("sent", None, f"id-{number}", 0)}
            origin = "pause-activated", 0, number
            evidence.records.append(Record(name, "m1", 0, number, at + 0.6, origin, stood, False, None))  # noqa: FBT003 - unknown_mentor
    evidence.marks = [Mark(BEGAN + 2, "kill", "consumers-1 <killed>"), Mark(BEGAN + 3, "start", "consumers-2 started")]
    evidence.memory_mb = {"consumers-1": [(BEGAN, 90.0), (BEGAN + 2, 96.0)], "consumers-2": [(BEGAN + 3, 88.0)]}
    return evidence


def _result(name: str = "sigkill", *own: Figure, lost: int = 0, **told: Any) -> Result:
    evidence = _evidence(lost=lost)
    found = examine(evidence)
    scenario = Scenario("1", name, told.pop("title", f"title of {name}"), _nothing, doubled_allowed=True)
    figures = [*common_figures(found, scenario), *own]
    return Result(scenario, 7, told.pop("full", True), 12.3, found, figures, evidence, **told)


def _page(results: Sequence[Result], **peers: Sequence[Result]) -> str:
    return page(json.loads(json.dumps(as_json(results, peers))), at=AT)


def _printed(printable: RenderableType, width: int = 120) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(printable)
    return captured.get()


class _Elements(HTMLParser):
    """Reads a page, and asserts that every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        given = dict(attrs)
        self.ids.update(value for name, value in attrs if name == "id" and value)
        self.fetched += [str(given[name]) for name in ("src", "href", "srcset", "xlink:href") if name in given]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert tag == self.open.pop()


class TestPage:
    """The page, from the JSON."""

    def test_tells_every_scenario(self) -> None:
        """Each scenario has its title in summary and section, its figures, statuses, letters and marks."""
        text = _page([_result("sigkill"), _result("zombie", Figure("back at work", 3.25, 11, "s"))])

        for part in ("1 title of sigkill", "1 title of zombie", "mentors out of order", "at most 11 s", "unreadable"):
            assert part in text
        assert "2 of 2 scenarios ok" in text
        assert "2026-03-26 08:30 UTC; seed 7;" in text

    def test_is_well_formed(self) -> None:
        """Every element is closed in order, every id is unique, and each scenario has two charts."""
        elements = _Elements(_page([_result("sigkill"), _result("zombie")], plain=[_result("sigkill", lost=1)]))

        assert [] == elements.open
        assert {1} == set(elements.ids.values())
        drawn = [svg for svg in re.findall(r"<svg.*?</svg>", _page([_result()]), re.DOTALL) if "role=" in svg]
        assert ["svg", "svg"] == [ET.fromstring(svg).tag for svg in drawn]  # noqa: S314 - our own page

    def test_fetches_nothing(self) -> None:
        """The page has no foreign address and loads nothing; its links lead to its own sections."""
        text = _page([_result()], plain=[_result()])

        assert ["#scenario-1"] == _Elements(text).fetched
        assert [] == re.findall(r"https?:|@import|url\(", text)

    def test_escapes_what_it_is_told(self) -> None:
        """Markup in titles, marks, troubles, reasons and programs is shown, never run."""
        evil = '<script>alert("x")</script>'
        result = _result("sigkill", Figure(evil, 1, 0, why=evil), title=evil, trouble=evil)
        result.evidence.marks.append(Mark(BEGAN, evil, evil))
        result.evidence.memory_mb[evil] = [(BEGAN, 1.0)]
        result.findings.statuses[evil] = 1

        text = _page([result], **{evil: [result]})

        assert evil not in text
        assert 1 == _Elements(text).seen["script"]

    def test_tells_what_failed(self) -> None:
        """A limit that is not met is shown with the verdict, and with what was counted."""
        text = _page([_result("sigkill", lost=2, trouble="waited in vain"), _result("zombie")])

        assert "1 of 2 scenarios failed" in text
        assert "not ended; lost" in text
        assert "d4 to m1, d5 to m1" in text
        assert "waited in vain" in text

    @pytest.mark.parametrize(
        ("full", "command"),
        [
            (True, "make chaos SCENARIO=sigkill SEED=7"),
            (False, ".venv/bin/python -m tests.chaos sigkill --seed 7 --short"),
        ],
    )
    def test_tells_how_to_repeat(self, full: bool, command: str) -> None:  # noqa: FBT001 - a parameter of the test
        """The command of a scenario repeats it in the same form."""
        assert f"<code>{command}</code>" in _page([_result(full=full)])

    def test_shows_peers_beside_ours(self) -> None:
        """A scenario that peers played has a row for ours and for each of them."""
        text = _page([_result("sigkill"), _result("zombie")], plain=[_result("sigkill", lost=2)])

        rows = re.findall(r'<tr class="peer"><th scope="row">(.*?)</th>', text)

        assert ["ours", "plain"] == rows

    def test_leaves_peers_out_where_there_are_none(self) -> None:
        """Without peers, the page does not mention them."""
        without = as_json([_result()])
        del without["peers"]

        assert "peers" not in _page([_result()])
        assert "peers" not in page(without, at=AT)


class TestCharts:
    """The layout of lines and marks."""

    def test_tells_open_events(self) -> None:
        """The lag is the number of acknowledged events minus that of ended events, and never negative."""
        timeline = {"seconds": 4, "acknowledged": [3, 2, 0, 0], "mails": [0] * 4, "ended": [1, 1, 2, 2]}

        chart = timeline_chart(timeline | {"marks": [], "memory_mb": {}})

        assert [2, 3, 1, 0] == chart.panels[1].lines[0].values

    def test_a_peer_has_no_ends(self) -> None:
        """If ended events are not known, neither they nor the lag are drawn."""
        chart = timeline_chart(as_json([_result()])["scenarios"][0]["timeline"], ends_known=False)

        assert [["load", "mails"]] == [[line.look for line in panel.lines] for panel in chart.panels]

    def test_tells_several_seconds_as_one_in_a_long_run(self) -> None:
        """An hour has only as many points as fit: rates are means, and the axis ends with the run."""
        hour = dict.fromkeys(("acknowledged", "mails", "ended"), [1, 3] * 1800)

        chart = timeline_chart({"seconds": 3600, **hour, "marks": [], "memory_mb": {}})

        load = chart.panels[0].lines[0]
        assert 400 == len(load.values)
        assert "per second, mean of 9 s" == chart.panels[0].title
        assert "3600 s" == chart.ticks[-1].text

    def test_marks_lie_in_a_lane_of_their_kind(self) -> None:
        """Each kind has a lane, faults before recoveries, and a mark after the last e-mail is still on the axis."""
        result = _result()
        result.evidence.marks.append(Mark(BEGAN + 60, "curse", "something new"))

        chart = timeline_chart(as_json([result])["scenarios"][0]["timeline"])

        assert [("kill", False), ("start", True), ("curse", False)] == [(one.kind, one.healing) for one in chart.lanes]
        assert "60.0 s: something new" == chart.lanes[2].marks[0].text
        assert chart.right == chart.lanes[2].marks[0].at

    def test_programs_of_a_kind_share_a_colour(self) -> None:
        """Memory has a line for each process; the legend has a range for each program."""
        chart = memory_chart(as_json([_result()])["scenarios"][0]["timeline"])

        assert chart is not None
        assert ["family-0", "family-0"] == [line.look for line in chart.panels[0].lines]
        assert ["consumers: 88 to 96 MB"] == [line.name for line in chart.legend]

    def test_nothing_measured_draws_no_memory(self) -> None:
        """If no program was measured, there is no chart."""
        assert memory_chart({"seconds": 1, "marks": [], "memory_mb": {}}) is None


class TestPages:
    """The tables of docs/reliability.md, and the README's line."""

    def test_has_a_row_per_scenario_and_peers_below(self) -> None:
        """Every scenario has its row; the results of peers are below, ours first."""
        results, peers = [_result("sigkill"), _result("zombie")], {"plain": [_result("sigkill", lost=2)]}
        told = {"at": AT.isoformat(), **json.loads(json.dumps(as_json(results, peers)))}

        rows = [line.strip("| ").split(" | ") for line in section(told).splitlines() if line.startswith("| ")]

        assert ["1 title of sigkill", "1 title of zombie"] == [cells[0] for cells in rows[2:4]]
        assert [["title of sigkill: this service", "6", "0"], ["title of sigkill: plain", "6", "2"]] == [
            cells[:3] for cells in rows[6:]
        ]

    @pytest.mark.parametrize("whose", ["ours", "plain"])
    def test_a_run_that_had_trouble_is_not_shown(self, tmp_path: Path, whose: str) -> None:
        """The figures of a scenario that could not be played to its end reach no page."""
        troubled = replace(_result("sigkill"), trouble="BrokerDidNotStart")
        ours, theirs = (troubled, _result("sigkill")) if whose == "ours" else (_result("sigkill"), troubled)
        report, page, readme = tmp_path / "report.json", tmp_path / "page.md", tmp_path / "README.md"
        report.write_text(json.dumps({"at": "2026-11-26T00:00:00+00:00", **as_json([ours], {"plain": [theirs]})}))
        page.write_text(_marks("chaos"))
        readme.write_text(_marks("chaos headline"))

        with pytest.raises(BadParameter, match="sigkill"):
            write(report, page, readme)

        assert _marks("chaos") == page.read_text()
        assert _marks("chaos headline") == readme.read_text()

    @pytest.mark.parametrize(
        ("name", "headline"),
        [
            ("sigkill", "- title of sigkill: 6 events, **0 lost**, 0 sent twice.\n"),
            pytest.param("zombie", "", id="the headline's scenario was not played"),
        ],
    )
    def test_writes_both_pages(self, tmp_path: Path, name: str, headline: str) -> None:
        """The tables go into their page; the headline goes into the README if its scenario was played."""
        report, page, readme = tmp_path / "report.json", tmp_path / "page.md", tmp_path / "README.md"
        report.write_text(json.dumps({"at": AT.isoformat(), **as_json([_result(name)])}))
        page.write_text(_marks("chaos"))
        readme.write_text(_marks("chaos headline"))

        write(report, page, readme)

        assert f"| 1 title of {name} | 6 | 0 |" in page.read_text()
        assert _marks("chaos headline", headline) == readme.read_text()


def _marks(kind: str, text: str = "") -> str:
    return f"<!-- {kind} figures -->\n{text}<!-- end of {kind} figures -->\n"


class TestTable:
    """The tables on the terminal."""

    def test_has_a_row_per_scenario(self) -> None:
        """A row has events, lost, sent twice, order broken, back at work, the duration and the verdict."""
        lines = _printed(table([_result("sigkill", Figure("back at work", 3.25, 11, "s")), _result("zombie", lost=2)]))

        rows = [line.split() for line in lines.splitlines() if "title of" in line]

        assert ["6", "0", "0", "0", "3.25", "s", "12", "s", "ok"] == rows[0][4:]
        assert ["6", "2", "0", "0", "0.5", "s", "12", "s", "FAILED"] == rows[1][4:]

    def test_shows_peers_in_a_second_table(self) -> None:
        """If peers played, our row and theirs are below the scenario's name."""
        printed = _printed(table([_result("sigkill"), _result("zombie")], {"plain": [_result("sigkill", lost=2)]}))

        _, title, beside = printed.partition("The same, done to plain peers")
        assert title
        assert "zombie" not in beside
        assert [["ours", "6", "0"], ["plain", "6", "2"]] == [
            line.split()[:3] for line in beside.splitlines() if line.strip().startswith(("ours", "plain"))
        ]

    def test_says_so_where_a_peer_could_not_be_played(self) -> None:
        """A peer that could not be played is shown as such: nothing lost of nothing sent proves nothing."""
        troubled = replace(_result("sigkill"), trouble="KafkaConnectionError: nobody there")

        assert "could not be played: KafkaConnectionError" in _printed(
            table([_result("sigkill")], {"plain": [troubled]})
        )

    def test_fits_a_narrow_terminal(self) -> None:
        """The verdict is not cut off at 80 columns."""
        assert "FAILED" in _printed(table([_result("a-name", title="many words " * 8, lost=1)]), width=80)

    def test_another_limit_of_the_same_counts_too(self) -> None:
        """A count beyond its "at most" figure is not met, although the count itself has no limit."""
        figures = [Figure("sent twice", 40), Figure("sent twice, at most in flight at each kill", 40, 32)]

        cell = compared(figures)["sent twice"]

        assert "40" == cell.text
        assert not cell.met

    def test_tells_the_worst_return_of_several(self) -> None:
        """If a scenario has several such figures, the longest is shown, and all must be within their limits."""
        figures = [Figure("back at work after one", 12, 10, "s"), Figure("back at work after all", 14, None, "s")]

        cell = compared(figures)["back at work"]

        assert "14 s" == cell.text
        assert not cell.met

    @pytest.mark.parametrize(
        ("value", "unit", "text"),
        [
            (20000.0, "", "20,000"),
            (12345.6, "", "12,346"),
            (5.8, "s", "5.8 s"),
            (0.034, "", "0.034"),
            (0, "s", "0 s"),
        ],
    )
    def test_numbers_are_for_a_person(self, value: float, unit: str, text: str) -> None:
        """Thousands are separated, fractions have three digits, and units are named."""
        assert text == shown(value, unit)
