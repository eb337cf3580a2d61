"""Write the figures of drills into deploy/runbooks/drills.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.alerts.scaled import FACTOR
from tests.drills.drills import DRILLS
from tests.readme import measured, put, row

PAGE = Path(__file__).parents[2] / "deploy" / "runbooks" / "drills.md"
_MINUTE = 60


def write(report: dict[str, Any]) -> None:
    """Replace the figures of the page; raise ValueError if a drill was not walked."""
    missing = DRILLS.keys() - report["drills"].keys()
    if missing:
        raise ValueError(f"not walked: {', '.join(sorted(missing))}")
    put(PAGE, "drill", "\n".join(["", *_table(report), ""]))


def _table(report: dict[str, Any]) -> Iterator[str]:
    yield f"{measured(report)}, everything on one machine."
    yield ""
    yield row("drill", "`doctor` says so after", "alert fires after", "over after", "calls by answer", "lost", "twice")
    yield row("---", "---:", "---", "---:", "---", "---:", "---:")
    for drill in DRILLS.values():
        found = report["drills"][drill.name]
        alerts = "; ".join(_alert(name, found["alerts"]) for name in drill.alerts)
        calls = ", ".join(f"{status}: {count}" for status, count in sorted(found["calls"].items()))
        doctor = "never" if found["doctor"] is None else f"{found['doctor']:.0f} s"
        cells = (doctor, alerts, f"{found['recovered']:.0f} s", calls, str(found["lost"]), str(found["twice"]))
        yield row(f"[{drill.name}](#{drill.name})", *cells)


def _alert(name: str, seen: dict[str, float]) -> str:
    seconds = seen.get(name)
    if seconds is None:
        return f"{name}: not watched"
    return f"{name}: {seconds:.0f} s, so about {seconds * FACTOR / _MINUTE:.0f} min"
