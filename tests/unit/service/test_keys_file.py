"""The file of API keys while the facade runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.api_keys import InvalidKeysFile
from service.callers import Callers
from service.key_failures import KeyFailures
from service.keys_file import KeysFile, open_keys_file
from service.metrics import Metrics, make_metrics
from service.problems import Problem
from tests.api_keys import key_of, keys_file, keys_text
from tests.fakes.clock import FakeClock
from tests.waiting import until


@dataclass
class _Opened:
    file: Path
    callers: Callers
    keys: KeysFile
    metrics: Metrics

    def let_in(self) -> list[str]:
        """Return which of the tests' callers are let in."""
        return [name for name in ("billing", "crm", "duty") if self._is_let_in(name)]

    def _is_let_in(self, name: str) -> bool:
        try:
            return name == self.callers.identify({"x-api-key": key_of(name)}, "192.0.2.7").name
        except Problem:
            return False

    def figures(self) -> tuple[float, float, float]:
        """Return how often keys were loaded and refused, and whether the file is outdated."""
        registry = self.metrics.registry
        reloads = "pause_notifications_api_keys_reloads_total"
        loaded = registry.get_sample_value(reloads, {"result": "loaded"}) or 0.0
        refused = registry.get_sample_value(reloads, {"result": "refused"}) or 0.0
        return loaded, refused, registry.get_sample_value("pause_notifications_api_keys_outdated") or 0.0


@pytest.fixture(name="opened")
def _opened(tmp_path: Path) -> _Opened:
    metrics = make_metrics()
    callers = Callers(None, KeyFailures(metrics.key_failures, lambda: 0.0))
    file = keys_file(tmp_path, "billing")
    keys = open_keys_file(file, callers, reloads=metrics.keys_reloads, outdated=metrics.keys_outdated)
    return _Opened(file, callers, keys, metrics)


def test_keys_are_required_at_once(opened: _Opened) -> None:
    """From the start only the holders of the file's keys are let in."""
    assert opened.callers.require_keys
    assert ["billing"] == opened.let_in()


async def test_a_changed_file_is_used(opened: _Opened) -> None:
    """Added keys are let in, and removed keys are not; an unchanged file is not counted."""
    opened.file.write_text(keys_text("crm", "duty"))
    await opened.keys.check()
    await opened.keys.check()

    assert ["crm", "duty"] == opened.let_in()
    assert (1, 0, 0) == opened.figures()


@pytest.mark.parametrize(
    "bad",
    [b"", b"\n", b"billing:0123456789abcdef\n", b"\xff\xfe", b"billing sha256:abc\n", b"#" * 2_000_000],
    ids=["empty", "blank", "plain", "no text", "cut", "huge"],
)
async def test_an_invalid_file_changes_nothing(opened: _Opened, bad: bytes) -> None:
    """If the file cannot be used, the old keys stay, and it is logged and counted once; once valid, it is used."""
    opened.file.write_bytes(bad)
    with capture_logs() as logs:
        await opened.keys.check()
        await opened.keys.check()
    assert ["billing"] == opened.let_in()
    assert (0, 1, 1) == opened.figures()
    assert ["api_keys.refused"] == [line["event"] for line in logs]

    opened.file.write_text(keys_text("crm"))
    await opened.keys.check()
    assert ["crm"] == opened.let_in()
    assert (1, 1, 0) == opened.figures()


async def test_a_missing_file_changes_nothing(opened: _Opened) -> None:
    """While the file is missing, the old keys stay; when it is back unchanged, the refusal ends."""
    content = opened.file.read_bytes()
    opened.file.unlink()
    await opened.keys.check()
    await opened.keys.check()
    seen = [(opened.let_in(), opened.figures())]
    opened.file.write_bytes(content)
    await opened.keys.check()
    seen.append((opened.let_in(), opened.figures()))

    assert [(["billing"], (0, 1, 1)), (["billing"], (0, 1, 0))] == seen


async def test_the_end_of_a_refusal_is_logged(opened: _Opened) -> None:
    """The log says when a refused file is valid again."""
    content = opened.file.read_bytes()
    opened.file.unlink()
    await opened.keys.check()
    opened.file.write_bytes(content)

    with capture_logs() as logged:
        await opened.keys.check()
        await opened.keys.check()

    assert ["api_keys.usable"] == [one["event"] for one in logged]


async def test_the_log_has_nothing_of_the_file(opened: _Opened) -> None:
    """A key that somebody wrote into the file by mistake does not reach the log."""
    opened.file.write_text(f"billing {key_of('billing')}\n")
    with capture_logs() as logs:
        await opened.keys.check()

    assert 1 == len(logs)
    assert key_of("billing") not in str(logs)


async def test_followed(opened: _Opened) -> None:
    """The file is checked every few seconds."""
    clock = FakeClock()
    following = asyncio.create_task(opened.keys.follow(clock))
    await until(lambda: clock.sleepers, what="the first pause")
    opened.file.write_text(keys_text("crm"))
    await clock.advance(2)

    await until(lambda: opened.let_in() == ["crm"], what="the new key to be let in")
    following.cancel()
    await asyncio.wait([following])


def test_an_invalid_file_at_the_start(tmp_path: Path) -> None:
    """At the start there are no earlier keys: an invalid file is refused."""
    metrics = make_metrics()
    callers = Callers(None, KeyFailures(metrics.key_failures, lambda: 0.0))
    file = tmp_path / "keys"
    file.write_text("billing:0123456789abcdef")

    with pytest.raises(InvalidKeysFile):
        open_keys_file(file, callers, reloads=metrics.keys_reloads, outdated=metrics.keys_outdated)
