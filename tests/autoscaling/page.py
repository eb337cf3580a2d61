"""Write the figures of docs/scaling.md, and its plot: ``python -m tests.autoscaling.page``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from html import escape
from itertools import pairwise

from tests.autoscaling.autoscaler import SYNC_SECONDS, TOLERANCE
from tests.autoscaling.day import (
    ACCOUNT_RATE,
    DAY,
    HALTED,
    HOUR,
    MIDNIGHT_REMINDERS,
    PARTS,
    REMINDERS_AT,
    SCRAPE_SECONDS,
    SLOW,
    Course,
    around,
    courses,
)
from tests.autoscaling.fleet import (
    CPU_SECONDS_A_SEND,
    EMAILS_AN_EVENT,
    MAX_IN_FLIGHT,
    PARTITIONS,
    REBALANCE_SECONDS,
    START_SECONDS,
    STEP_SECONDS,
)
from tests.kubernetes.built import ROOT
from tests.readme import put

PAGE = ROOT / "docs" / "scaling.md"
PLOT = ROOT / "docs" / "scaling.svg"

_WIDTH, _HEIGHT, _LEFT, _GAP = 860, 120, 48, 34
_POINT_SECONDS = 300
_COLOURS = ("ours", "lag", "other")
_STYLE = """\
text { font: 11px system-ui, sans-serif; fill: #1f2328 } .title { font-weight: 600 } .note { fill: #59636e }
path { fill: none; stroke-width: 1.5 } .ours { stroke: #0969da } .lag { stroke: #bc4c00 } .other { stroke: #8250df }
.load { stroke: #1f2328 } .axis { stroke: #d1d9e0; stroke-width: 1 } rect { fill: #eaeef2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note { fill: #9198a1 } .ours { stroke: #4493f8 } .lag { stroke: #db6d28 }
  .other { stroke: #ab7df8 } .load { stroke: #e6edf3 } .axis { stroke: #3d444d } rect { fill: #21262d }
}"""


def table(days: Mapping[str, Course]) -> str:
    """Return the figures of each scaler."""
    return f"""\
| | {" | ".join(days)} |
| --- | {" | ".join("---:" for _ in days)} |
{_rows(days)}
"""


def assumptions() -> str:
    """Return what the simulation assumes."""
    return f"""\
- The autoscaler looks every {SYNC_SECONDS} s, and ignores a difference of {TOLERANCE:.0%}. Prometheus scrapes every
  {SCRAPE_SECONDS} s. A new pod joins after {START_SECONDS} s.
- A rebalance pauses all partitions for {REBALANCE_SECONDS:g} s, as measured in a rolling update.
- The account sends {ACCOUNT_RATE:g} e-mails a second, {EMAILS_AN_EVENT} for an event. SES takes
  {around(0).ses_seconds:g} s for one, and {around(SLOW[0]).ses_seconds:g} s from {SLOW[0] // HOUR}:00 to
  {SLOW[1] // HOUR}:00. {MIDNIGHT_REMINDERS:,} reminders come at once after midnight. From {_clock(HALTED[0])} to
  {_clock(HALTED[1])} sending is halted.
- A replica sends {MAX_IN_FLIGHT} e-mails at once, and needs {CPU_SECONDS_A_SEND * 1000:.2f} ms of CPU for each, as
  [measured](performance.md). There are {PARTITIONS} partitions with equal load.
- Events flow like water, in steps of {STEP_SECONDS} s. So the page compares scalers, and tells no latencies of single
  events.
"""


def _clock(at: int) -> str:
    return f"{at // HOUR}:{at % HOUR // 60:02}"


def _rows(days: Mapping[str, Course]) -> str:
    said: list[tuple[str, Callable[[Course], str]]] = [
        ("replica hours", lambda day: f"{day.replica_hours:.0f}"),
        ("rebalances", lambda day: f"{day.rebalances}"),
        ("all replicas paused by them, s", lambda day: f"{day.paused_seconds:.0f}"),
        ("events sent more than a minute late", lambda day: f"{day.late(60):.1%}"),
    ]
    for name, times in PARTS.items():
        said += [
            (f"{name}: most replicas", partial(_most_replicas, times)),
            (f"{name}: rebalances", partial(_rebalances, times)),
            (f"{name}: longest delay, s", partial(_longest_delay, times)),
        ]
    return "\n".join(f"| {what} | {' | '.join(of(day) for day in days.values())} |" for what, of in said)


def _most_replicas(times: tuple[int, int], day: Course) -> str:
    return f"{day.part(times).most_replicas}"


def _rebalances(times: tuple[int, int], day: Course) -> str:
    return f"{day.part(times).rebalances}"


def _longest_delay(times: tuple[int, int], day: Course) -> str:
    return f"{day.part(times).longest_delay:.0f}"


def plot(days: Mapping[str, Course]) -> str:
    """Return the plot: load, replicas and the longest delay over the hours of the day."""
    load = [around(at).events_a_second for at in range(0, DAY, _POINT_SECONDS)]
    replicas = {name: _stepped(day.replicas) for name, day in days.items()}
    delays = {name: _curve(_highest(day.worst), _highest_of(days)) for name, day in days.items()}
    panels = [
        ("events a second", max(load), {"load": _curve(load, max(load))}),
        ("replicas", float(PARTITIONS), replicas),
        ("longest delay, minutes", _highest_of(days) / 60, delays),
    ]
    height = len(panels) * (_HEIGHT + _GAP) + 24
    drawn = [line for place, panel in enumerate(panels) for line in _panel(place * (_HEIGHT + _GAP), *panel)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img">',
            "<title>Load, replicas and the longest delay over a day, by scaler</title>",
            f"<style>{_STYLE}</style>",
            *drawn,
            *_legend(list(days), height - 8),
            "</svg>\n",
        ]
    )


def _panel(top: float, title: str, highest: float, lines: Mapping[str, str]) -> Iterator[str]:
    yield f'<g transform="translate({_LEFT} {top + 20:.0f})">'
    yield f'<text class="title" x="0" y="-7">{escape(title)}</text>'
    for first, last in [(REMINDERS_AT, HOUR // 2), SLOW, HALTED]:
        yield f'<rect x="{_x(first):.1f}" y="0" width="{_x(last) - _x(first):.1f}" height="{_HEIGHT}"/>'
    yield f'<path class="axis" d="M0 0V{_HEIGHT}H{_x(DAY):.0f}"/>'
    yield f'<text class="note" x="-6" y="9" text-anchor="end">{highest:.0f}</text>'
    for hour in range(0, 25, 4):
        yield f'<text class="note" x="{_x(hour * HOUR):.0f}" y="{_HEIGHT + 12}" text-anchor="middle">{hour}</text>'
    colours = ("load",) if "load" in lines else _COLOURS
    for path, colour in reversed(list(zip(lines.values(), colours, strict=False))):
        yield f'<path class="{colour}" d="{path}"/>'
    yield "</g>"


def _legend(names: Sequence[str], y: float) -> Iterator[str]:
    for place, (name, colour) in enumerate(zip(names, _COLOURS, strict=False)):
        x = _LEFT + place * 200
        yield f'<path class="{colour}" d="M{x} {y - 4}h24"/><text x="{x + 30}" y="{y}">{escape(name)}</text>'


def _x(at: float) -> float:
    return at / DAY * (_WIDTH - _LEFT - 8)


def _highest_of(days: Mapping[str, Course]) -> float:
    return max(max(day.worst) for day in days.values())


def _highest(values: Sequence[float]) -> list[float]:
    """Return the highest of every few minutes."""
    size = _POINT_SECONDS // STEP_SECONDS
    return [max(values[start : start + size]) for start in range(0, len(values), size)]


def _curve(values: Sequence[float], highest: float) -> str:
    points = (f"{_x(n * _POINT_SECONDS):.1f} {_HEIGHT * (1 - v / highest):.1f}" for n, v in enumerate(values))
    return "M" + "L".join(points)


def _stepped(numbers: Sequence[int]) -> str:
    """Return a line that is level between changes."""

    def y(number: int) -> str:
        return f"{_HEIGHT * (1 - number / PARTITIONS):.1f}"

    changes = [(n + 1, after) for n, (before, after) in enumerate(pairwise(numbers)) if before != after]
    drawn = "".join(f"H{_x(n * STEP_SECONDS):.1f}V{y(after)}" for n, after in changes)
    return f"M0 {y(numbers[0])}{drawn}H{_x(DAY):.1f}"


def main() -> None:
    """Write figures and plot."""
    days = courses()
    put(PAGE, "day", table(days))
    put(PAGE, "assumed", assumptions())
    PLOT.write_text(plot(days), encoding="utf-8")


if __name__ == "__main__":
    main()
