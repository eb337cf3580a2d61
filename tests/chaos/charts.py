"""The layout of a run's charts, in SVG units; `report.html.j2` draws them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil
from typing import Any

from tests.chaos.report import shown

WIDTH = 900
_LEFT, _RIGHT = 64, WIDTH - 14
_LANE, _TITLE, _FOOT = 15, 28, 24
_POINTS = 420
"""The most points of a line: of more seconds, several become one point."""
_KINDS = ("kill", "stop", "start", "fault", "broker", "cut", "freeze", "well")
_HEALING = frozenset({"start", "well"})
_X_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)
_Y_STEPS = tuple(digit * 10**power for power in range(9) for digit in (1, 2, 5))
_FAMILIES = 4
"""How many kinds of programs have their own colour."""


@dataclass(frozen=True)
class Tick:
    """A mark on an axis, and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """One value over time."""

    name: str
    look: str
    """The CSS class that colours and dashes it."""
    points: str
    values: Sequence[float] = ()
    """One per `Chart.step` seconds, for the script that shows them under the pointer."""


@dataclass(frozen=True)
class Panel:
    """Lines with one vertical axis."""

    title: str
    top: float
    bottom: float
    ticks: Sequence[Tick]
    lines: Sequence[Line]


@dataclass(frozen=True)
class Lane:
    """All marks of one kind."""

    kind: str
    middle: float
    healing: bool
    marks: Sequence[Tick]


@dataclass(frozen=True)
class Chart:
    """Lanes of marks above panels, with one axis of seconds."""

    height: float
    step: int
    scale: float
    """SVG units per second."""
    ticks: Sequence[Tick]
    panels: Sequence[Panel]
    lanes: Sequence[Lane]
    legend: Sequence[Line]
    about: str
    """The chart in a sentence, for readers who cannot see it."""
    width: int = WIDTH
    left: int = _LEFT
    right: int = _RIGHT


def timeline_chart(timeline: Mapping[str, Any], *, ends_known: bool = True) -> Chart:
    """Return the chart of load, e-mails, ended events, lag and marks; for a peer, ended events are not known."""
    marks, seconds = timeline["marks"], _seconds(timeline)
    lanes = list(_lanes(marks, seconds))
    step = ceil(timeline["seconds"] / _POINTS)
    rates = {"load": timeline["acknowledged"], "mails": timeline["mails"]}
    if ends_known:
        rates["ended"] = timeline["ended"]
    means = {name: [sum(some) / len(some) for some in _binned(values, step)] for name, values in rates.items()}
    titles = {"load": "events acknowledged", "mails": "mails accepted", "ended": "events ended"}
    unit = "per second" if step == 1 else f"per second, mean of {step} s"
    top = _LANE * len(lanes) + _TITLE
    panels = [_panel(unit, top, 130, means, titles, seconds, step)]
    if ends_known:
        peaks = {"open": [float(max(some)) for some in _binned(_open(timeline), step)]}
        open_title = "lag in events: acknowledged and not yet ended"
        panels.append(_panel(open_title, top + 130 + _TITLE, 64, peaks, {"open": "lag"}, seconds, step))
    return _chart(panels, lanes, seconds, step, _about(panels, marks))


def memory_chart(timeline: Mapping[str, Any]) -> Chart | None:
    """Return the chart of each program's memory, one colour for each kind; None if it was not measured."""
    measured: Mapping[str, Sequence[tuple[float, float]]] = timeline["memory_mb"]
    if not any(measured.values()):
        return None
    seconds = _seconds(timeline)
    families = sorted({_family(name) for name in measured})
    ticks = _ticks(max(mb for samples in measured.values() for _, mb in samples), _Y_STEPS, 3)
    panel = _Axes(_TITLE, _TITLE + 80, seconds, ticks[-1])
    lines = [
        Line(name, f"family-{families.index(_family(name)) % _FAMILIES}", panel.points(_thinned(samples)))
        for name, samples in measured.items()
    ]
    legend = [
        Line(f"{family}: {_range(family, measured)}", f"family-{number % _FAMILIES}", "")
        for number, family in enumerate(families)
    ]
    drawn = Panel("MB resident", panel.top, panel.bottom, [panel.tick(tick) for tick in ticks], lines)
    return _chart([drawn], [], seconds, 1, "Memory. " + "; ".join(line.name for line in legend), legend)


@dataclass(frozen=True)
class _Axes:
    top: float
    bottom: float
    seconds: float
    most: float

    def points(self, pairs: Iterable[tuple[float, float]]) -> str:
        scale = (_RIGHT - _LEFT) / self.seconds
        return " ".join(f"{_LEFT + max(at, 0) * scale:.1f},{self._y(value):.1f}" for at, value in pairs)

    def tick(self, value: float) -> Tick:
        return Tick(round(self._y(value), 1), shown(value))

    def _y(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * value / self.most


def _panel(
    title: str,
    top: float,
    height: float,
    series: Mapping[str, Sequence[float]],
    names: Mapping[str, str],
    seconds: float,
    step: int,
) -> Panel:
    ticks = _ticks(max((value for values in series.values() for value in values), default=0), _Y_STEPS, 4)
    axes = _Axes(top, top + height, seconds, ticks[-1])
    lines = [
        Line(names[look], look, axes.points((n * step, value) for n, value in enumerate(values)), values)
        for look, values in series.items()
    ]
    return Panel(title, axes.top, axes.bottom, [axes.tick(tick) for tick in ticks], lines)


def _chart(
    panels: Sequence[Panel],
    lanes: Sequence[Lane],
    seconds: float,
    step: int,
    about: str,
    legend: Sequence[Line] = (),
) -> Chart:
    scale = (_RIGHT - _LEFT) / seconds
    ticks = [Tick(round(_LEFT + at * scale, 1), f"{at} s") for at in _ticks(seconds, _X_STEPS, 10) if at <= seconds]
    lines = legend or [line for panel in panels for line in panel.lines]
    return Chart(panels[-1].bottom + _FOOT, step, scale, ticks, panels, lanes, lines, about)


def _ticks(most: float, steps: Sequence[int], at_most: int) -> list[int]:
    """Return round numbers from 0 to the first that is not below *most*."""
    step = next((step for step in steps if most / step <= at_most), steps[-1])
    return [step * n for n in range(max(ceil(most / step), 1) + 1)]


def _binned(values: Sequence[float], step: int) -> Iterator[Sequence[float]]:
    return (values[n : n + step] for n in range(0, len(values), step))


def _thinned(samples: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Thin out the samples if there are many; keep the first and the last."""
    return [*samples[: -1 : ceil(len(samples) / _POINTS)], samples[-1]] if samples else []


def _open(timeline: Mapping[str, Any]) -> list[int]:
    """Return the lag in events after each second; a REST caller may get its answer a moment after the end."""
    differences = (begun - ended for begun, ended in zip(timeline["acknowledged"], timeline["ended"], strict=True))
    return [max(count, 0) for count in accumulate(differences)]


def _seconds(timeline: Mapping[str, Any]) -> float:
    """Return the length of the axis: until the last mark or sample."""
    sampled = (samples[-1][0] for samples in timeline["memory_mb"].values() if samples)
    marked = (mark["at"] for mark in timeline["marks"])
    return float(max(timeline["seconds"], *sampled, *marked, 1))


def _lanes(marks: Sequence[Mapping[str, Any]], seconds: float) -> Iterator[Lane]:
    scale = (_RIGHT - _LEFT) / seconds
    for number, kind in enumerate(kinds(marks)):
        ticks = [
            Tick(round(_LEFT + max(mark["at"], 0) * scale, 1), f"{mark['at']:.1f} s: {mark['what']}")
            for mark in marks
            if mark["kind"] == kind
        ]
        yield Lane(kind, _LANE * number + _LANE / 2, kind in _HEALING, ticks)


def kinds(marks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the kinds of marks, the known ones first."""
    there = dict.fromkeys(mark["kind"] for mark in marks)
    return [kind for kind in _KINDS if kind in there] + [kind for kind in there if kind not in _KINDS]


def _about(panels: Sequence[Panel], marks: Sequence[Mapping[str, Any]]) -> str:
    peaks = [
        f"{line.name}: at most {shown(round(max(line.values, default=0)))}"
        + ("" if line.look == "open" else " a second")
        for panel in panels
        for line in panel.lines
    ]
    done = [f"{kind}: {sum(mark['kind'] == kind for mark in marks)} times" for kind in kinds(marks)]
    return "; ".join([*peaks, *done])


def _family(name: str) -> str:
    """Return the program of a process's name: for consumers-3 it is consumers."""
    return name.rstrip("0123456789").rstrip("-") or name


def _range(family: str, measured: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    sizes = [mb for name, samples in measured.items() if _family(name) == family for _, mb in samples]
    return f"{shown(round(min(sizes)))} to {shown(round(max(sizes)))} MB" if sizes else "not measured"
