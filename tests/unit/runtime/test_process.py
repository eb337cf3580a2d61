"""The life of a process: signals, lag, exit codes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.process import LoopLag, loop_lag, stop_signals
from tests.fakes.clock import FakeClock
from tests.waiting import until

ROOT = Path(__file__).parents[3]

PROGRAM = """
import asyncio, os, sys
from runtime.process import StartRefused, run_program
from runtime.settings import ServiceSettings

async def stops(settings, stopping):
    print("running", flush=True)
    await stopping.wait()
    print("stopped in order", flush=True)

async def hangs(settings, stopping):
    print("running", flush=True)
    await asyncio.Event().wait()

async def refuses(settings, stopping):
    async with asyncio.TaskGroup() as group:
        group.create_task(refuse())

async def refuse():
    raise StartRefused("No topics: run pause-notifications topics create.")

async def fails(settings, stopping):
    raise RuntimeError("no jane@example.org")

async def ends(settings, stopping):
    pass

sys.exit(run_program("service", ServiceSettings, globals()[sys.argv[1]], os.environ))
"""


def start(main: str, **environ: str) -> subprocess.Popen[str]:
    """Start a program whose main coroutine is the one named."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PAUSE_NOTIFICATIONS_")}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, main],
        cwd=ROOT,
        env=env | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(main: str, **environ: str) -> tuple[int, str, str]:
    """Run such a program to its end; return exit code, stdout and stderr."""
    with start(main, **environ) as program:
        out, err = program.communicate(timeout=30)
    return program.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_in_order(number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C stop the program in order, with exit code 0."""
    with start("stops") as program:
        assert program.stdout is not None
        assert "running\n" == program.stdout.readline()
        program.send_signal(number)
        out, err = program.communicate(timeout=30)
    assert 0 == program.returncode
    assert "" == err
    assert out.splitlines()[-1] == "stopped in order"


def test_wrong_settings_refuse_the_start() -> None:
    """An invalid setting ends with exit code 2, and stderr says what is allowed."""
    code, out, err = run("ends", PAUSE_NOTIFICATIONS_HTTP_PORT="x")
    assert 2 == code
    assert "" == out
    assert err == (
        "service did not start. PAUSE_NOTIFICATIONS_HTTP_PORT is 'x', which is not allowed: "
        "it must be a whole number from 0 to 65535.\n"
    )


def test_a_refusal_says_what_to_run() -> None:
    """A refused start ends with exit code 2 and only its message, even from a task group."""
    code, out, err = run("refuses")
    expected = (2, "", "service did not start. No topics: run pause-notifications topics create.\n")
    assert expected == (code, out, err)


def test_an_unexpected_error_is_logged_without_addresses() -> None:
    """An unexpected error ends with exit code 1 and a redacted traceback in the log."""
    code, out, err = run("fails")
    assert 1 == code
    assert "" == err
    assert [True, True, False] == [word in out for word in ("program.failed", "RuntimeError", "jane@")]


def test_unknown_settings_are_warned_of() -> None:
    """An unknown name with the prefix is logged with the most similar known one, and the program runs."""
    code, out, _ = run("ends", PAUSE_NOTIFICATIONS_HTP_PORT="1")
    assert 0 == code
    assert "settings.unknown" in out
    assert '"PAUSE_NOTIFICATIONS_HTTP_PORT"' in out


def test_a_second_signal_ends_at_once() -> None:
    """A further signal ends a program that does not stop."""
    with start("hangs") as program:
        assert program.stdout is not None
        assert "running\n" == program.stdout.readline()

        async def ended() -> bool:
            program.send_signal(signal.SIGINT)
            return program.poll() is not None

        asyncio.run(until(ended, within=20, what="the program to end"))
    assert 128 + signal.SIGINT == program.returncode


async def test_a_repeat_within_a_second_is_the_same_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that arrives twice, from terminal and supervisor, still stops in order; a later one ends at once."""
    codes: list[int] = []
    seconds = iter([100.0, 100.9, 101.0])
    loop = asyncio.get_running_loop()
    handlers: dict[int, Callable[[], object]] = {}
    monkeypatch.setattr(loop, "add_signal_handler", lambda n, call, *a: handlers.update({n: lambda: call(*a)}))
    monkeypatch.setattr(loop, "remove_signal_handler", handlers.pop)
    with stop_signals(exit_now=codes.append) as stopping:
        monkeypatch.setattr(loop, "time", lambda: next(seconds))
        states = []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
            handlers[number]()
            states.append((stopping.is_set(), list(codes)))
        monkeypatch.undo()
        handlers.clear()
    assert [(True, []), (True, []), (True, [128 + signal.SIGTERM])] == states


async def test_lag_is_how_late_the_loop_comes_round() -> None:
    """Lag is zero on time, grows while the loop is blocked, and afterwards is the last one measured."""
    clock = FakeClock()
    lag = LoopLag(clock)
    on_time = lag.seconds
    clock._pass(3.5)
    assert 0.0 == on_time
    assert 3.0 == lag.seconds


async def test_lag_is_measured_as_long_as_the_context() -> None:
    """Measuring starts and ends with its context and leaves no task."""
    clock = FakeClock()
    before = asyncio.all_tasks()
    async with loop_lag(clock) as lag:
        await clock.advance(10)
        assert 0.0 == lag.seconds
        assert 1 == clock.sleepers
    assert before == asyncio.all_tasks()
