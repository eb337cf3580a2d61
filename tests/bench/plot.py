"""Draw the picture of docs/performance.md: ``python -m tests.bench.plot bench-report.json docs/bench.svg``.

Bars begin at zero, with the range of the rounds as a line over each; a part that was not measured is left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from tests.bench.figures import OURS
from tests.bench.report import shown

_COLUMNS = 3
_PANEL, _GAP = 286, 16
_BAR, _STEP, _TITLE = 12, 20, 40
_LABELS, _NUMBERS = 104, 44
_STYLE = """\
text { font: 11px system-ui, sans-serif; fill: #1f2328 } .title { font-weight: 600 } .note { fill: #59636e }
.ours { fill: #0969da } .peer { fill: #afb8c1 } .range { stroke: #1f2328; stroke-width: 1 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note { fill: #9198a1 } .ours { fill: #4493f8 } .peer { fill: #59636e }
  .range { stroke: #e6edf3 }
}"""


@dataclass(frozen=True)
class _Bar:
    label: str
    values: Sequence[float]
    median: float
    ours: bool


@dataclass(frozen=True)
class _Panel:
    title: str
    note: str
    bars: Sequence[_Bar]

    @property
    def height(self) -> float:
        return _TITLE + _STEP * len(self.bars) + _GAP


def svg(report: Mapping[str, Any]) -> str:
    """Return the picture of a report, read from JSON."""
    width = _COLUMNS * _PANEL + (_COLUMNS - 1) * _GAP
    drawn, top = [], 0.0
    for row in _in_rows(_panels(report["parts"])):
        drawn += [_drawn(panel, number * (_PANEL + _GAP), top) for number, panel in enumerate(row)]
        top += max(panel.height for panel in row)
    where = report["machine"]
    foot = f"Medians, and the range of the rounds. {where['cores']} cores, Python {where['python']}; make bench."
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top + 16:.0f}" width="{width}" role="img">',
            f"<title>{escape(_about(report['parts']))}</title>",
            f"<style>{_STYLE}</style>",
            *drawn,
            f'<text class="note" x="0" y="{top + 8:.0f}">{escape(foot)}</text>',
            "</svg>\n",
        ]
    )


def _in_rows(panels: Sequence[_Panel]) -> Iterator[Sequence[_Panel]]:
    return (panels[n : n + _COLUMNS] for n in range(0, len(panels), _COLUMNS))


def _panels(parts: Mapping[str, Any]) -> list[_Panel]:
    """Return the panels of what was measured."""
    named = {(part, row["name"]): row for part, rows in parts.items() for row in rows}

    def by_who(part: str, name: str) -> list[_Bar]:
        row = named.get((part, name))
        return [] if row is None else [_bar(who, row, who) for who in row["medians"]]

    def ours(part: str, end: str, start: str = "") -> list[_Bar]:
        rows = [
            row for (of, name), row in named.items() if of == part and name.startswith(start) and name.endswith(end)
        ]
        return [_bar(row["name"].removesuffix(end).removeprefix(start), row, OURS) for row in rows]

    waits = [bar for percent in (50, 95, 99) for bar in _waits(named, percent)]
    panels = [
        _Panel("Backlog: events a second", "two mails each; more is better", by_who("backlog", "events")),
        _Panel("Backlog: CPU-s of 1,000 sends", "less is better", by_who("backlog", "CPU of 1,000 sends")),
        _Panel("Backlog: peak memory, MB", "less is better", by_who("backlog", "peak memory")),
        _Panel("REST: ms to the answer at 200 calls/s", "SES takes 50 of them; less is better", waits),
        _Panel("REST: highest rate, calls a second", "more is better", by_who("rest", "highest rate")),
        _Panel("Replicas: sends a second", "SES answers in 200 ms; more is better", ours("scaling", ": sends")),
        _Panel("CPU-s of 1,000 sends, by events waiting", "flat is good", ours("flat", " wait: CPU of 1,000 sends")),
        _Panel("Memory in MB, by events waiting", "flat is good", ours("flat", " wait: memory")),
        _Panel("Share of an enforced 100 sends/s, %", "100 is all", ours("rate", "", "share of 100/s: ")),
    ]
    return [panel for panel in panels if panel.bars]


def _waits(named: Mapping[tuple[str, str], Any], percent: int) -> Iterator[_Bar]:
    row = named.get(("rest", f"p{percent} at 200/s"), {"medians": ()})
    for who in row["medians"]:
        yield _bar(f"p{percent} {'ours' if who == OURS else who.split()[0]}", row, who)


def _bar(label: str, row: Mapping[str, Any], who: str) -> _Bar:
    return _Bar(label, row["values"][who], row["medians"][who], who == OURS)


def _drawn(panel: _Panel, left: float, top: float) -> str:
    most = max(max(bar.values) for bar in panel.bars) or 1.0
    scale = (_PANEL - _LABELS - _NUMBERS) / most
    lines = [
        f'<text class="title" x="{left}" y="{top + 14:.0f}">{escape(panel.title)}</text>',
        f'<text class="note" x="{left}" y="{top + 29:.0f}">{escape(panel.note)}</text>',
    ]
    for number, bar in enumerate(panel.bars):
        lines += _drawn_bar(bar, left, top + _TITLE + number * _STEP, scale)
    return "\n".join(lines)


def _drawn_bar(bar: _Bar, left: float, y: float, scale: float) -> Iterator[str]:
    x, middle = left + _LABELS, y + _BAR / 2
    low, high = x + min(bar.values) * scale, x + max(bar.values) * scale
    yield f'<text x="{x - 6}" y="{y + 10:.0f}" text-anchor="end">{escape(bar.label)}</text>'
    look = "ours" if bar.ours else "peer"
    yield f'<rect class="{look}" x="{x}" y="{y:.0f}" width="{bar.median * scale:.1f}" height="{_BAR}"/>'
    if len(bar.values) > 1:
        yield f'<line class="range" x1="{low:.1f}" x2="{high:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>'
    yield f'<text x="{high + 5:.1f}" y="{y + 10:.0f}">{shown(bar.median)}</text>'


def _about(parts: Mapping[str, Any]) -> str:
    """Return the figures in words, for readers who cannot see the picture."""
    told = (
        f"{panel.title}: " + ", ".join(f"{bar.label} {shown(bar.median)}" for bar in panel.bars)
        for panel in _panels(parts)
    )
    return "; ".join(told)


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(svg(json.loads(Path(sys.argv[1]).read_text())))
