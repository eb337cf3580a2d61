"""The CPU time and memory of a process and of the machine, from Linux's /proc."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import median

_TICKS = os.sysconf("SC_CLK_TCK")
_USER, _SYSTEM = 11, 12  # fields of /proc/PID/stat after the name
_BUSY = (0, 1, 2, 7)  # fields of /proc/stat's first line: user, nice, system, stolen by the host


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS


def memory_mb(pid: int, what: str = "VmRSS") -> float:
    """Return a process's resident memory in MB; `VmHWM` is the most it ever was."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == what:
            return int(value.split()[0]) * 1024 / 1e6
    raise LookupError(f"process {pid} tells no {what}")


def machine_busy_seconds() -> float:
    """Return the processor time of all processes since the machine started, with the time that the host took."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    return sum(int(fields[number]) for number in _BUSY) / _TICKS


@dataclass(frozen=True)
class Used:
    """Processor time used in a period, in cores."""

    seconds: float
    by_process: dict[str, float]
    by_others: float


class Stopwatch:
    """Measures what these processes, and all others on this machine, use from now on."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._own = os.getpid()
        self._began = time.monotonic()
        self._before = self._now()
        self._busy_before = machine_busy_seconds()

    def _now(self) -> dict[str, float]:
        own = {"bench": cpu_seconds(self._own)}
        return {**own, **{name: cpu_seconds(pid) for name, pid in self._pids.items()}}

    def read(self) -> Used:
        """Return what was used since the start."""
        seconds = max(time.monotonic() - self._began, 1e-3)
        used = {name: now - self._before[name] for name, now in self._now().items()}
        others = machine_busy_seconds() - self._busy_before - sum(used.values())
        return Used(seconds, {name: cpu / seconds for name, cpu in used.items()}, max(others, 0.0) / seconds)


def pace_ms() -> float:
    """Return how long a fixed piece of Python work takes: the speed of a shared host varies by a factor of two."""
    return median(_fixed_work() for _ in range(9)) * 1000


def _fixed_work() -> float:
    began = time.perf_counter()
    for n in range(1000):
        sha256(json.dumps({"n": n, "text": "fixed work " * 10, "list": list(range(20))}).encode()).hexdigest()
    return time.perf_counter() - began
