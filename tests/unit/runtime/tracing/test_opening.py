"""Tracing is turned on and off, and its export is never in the way."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs

from runtime.clock import SystemClock
from runtime.environment import InvalidSettings
from runtime.process import StartRefused
from runtime.settings import ServiceSettings
from runtime.tracing.opening import open_tracing
from tests.collector import Collector, collecting
from tests.fakes.clock import FakeClock
from tests.waiting import until

ON = ServiceSettings(tracing=True)
NOBODY = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_TIMEOUT": "0.2"}


def set_all(monkeypatch: pytest.MonkeyPatch, environ: Mapping[str, str]) -> None:
    """Set variables: the SDK reads the process's own environment."""
    for name, text in environ.items():
        monkeypatch.setenv(name, text)


@pytest.mark.parametrize(
    ("settings", "environ"),
    [(ServiceSettings(), {}), (ON, {"OTEL_SDK_DISABLED": "true"})],
    ids=["setting", "OpenTelemetry's switch"],
)
async def test_off(settings: ServiceSettings, environ: Mapping[str, str]) -> None:
    """Without the setting, or with OpenTelemetry's own switch, nothing begins spans."""
    async with open_tracing(settings, environ, SystemClock(), program="service") as tracer:
        assert tracer is None


async def test_a_wrong_variable_stops_the_start() -> None:
    """A variable that the SDK would replace by its default, with a warning, is refused."""
    with pytest.raises(InvalidSettings, match="OTEL_TRACES_SAMPLER is 'some'"):
        async with open_tracing(ON, {"OTEL_TRACES_SAMPLER": "some"}, SystemClock(), program="service"):
            pass


async def test_a_wrong_variable_is_nobodys_business_when_off() -> None:
    """A platform may set OpenTelemetry's variables for all its programs."""
    async with open_tracing(ServiceSettings(), {"OTEL_TRACES_SAMPLER": "x"}, SystemClock(), program="s") as tracer:
        assert tracer is None


async def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the start is refused, with the command that installs it."""
    monkeypatch.delitem(sys.modules, "runtime.tracing.provider", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(StartRefused, match=r"pip install 'pause-notifications\[tracing\]'"):
        async with open_tracing(ON, {}, SystemClock(), program="service"):
            pass


async def test_the_last_spans_are_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ended just before a stop reaches the collector, with the program's name."""
    with collecting() as collector:
        set_all(
            monkeypatch, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
        )
        async with open_tracing(ON, {}, SystemClock(), program="service") as tracer:
            assert tracer is not None
            tracer.start_span("last").end()

    assert [("pause-notifications-service", "last")] == [(one.service, one.name) for one in collector.spans]


async def test_the_name_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry's own variables name the service, as everywhere."""
    with collecting() as collector:
        set_all(monkeypatch, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_SERVICE_NAME": "notices"})
        async with open_tracing(ON, {}, SystemClock(), program="service") as tracer:
            assert tracer is not None
            tracer.start_span("last").end()

    assert ["notices"] == [one.service for one in collector.spans]


async def test_a_silent_collector_delays_no_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector that takes a request and never answers costs a stop two seconds, and one warning."""
    collector: Collector
    with collecting() as collector, capture_logs() as logs:
        collector.silent.set()
        set_all(monkeypatch, collector.environ)
        async with open_tracing(ON, {}, SystemClock(), program="service") as tracer:
            assert tracer is not None
            tracer.start_span("last").end()
            began = time.monotonic()
        took = time.monotonic() - began

    assert took < 4
    assert 1 == [line["event"] for line in logs].count("traces.not_flushed")


async def test_a_dead_collector_is_reported_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch that cannot be exported makes the library log; one line a minute is let through."""
    clock = FakeClock()
    set_all(monkeypatch, {**NOBODY, "OTEL_BSP_SCHEDULE_DELAY": "1"})
    with capture_logs() as logs:

        def warnings() -> int:
            return [line["event"] for line in logs].count("traces.not_exported")

        async with open_tracing(ON, {}, clock, program="service") as tracer:
            assert tracer is not None

            def another(expected: int) -> bool:
                tracer.start_span("lost").end()
                return warnings() >= expected

            await until(lambda: another(1), what="the first warning")
            for _ in range(3000):  # more than the queue holds, which is a trouble of its own
                tracer.start_span("lost").end()
            assert 1 == warnings()
            await clock.advance(60)
            await until(lambda: another(2), what="the second warning")


async def test_a_full_queue_blocks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the collector hangs, further spans are dropped: none waits."""
    with collecting() as collector:
        collector.silent.set()
        set_all(
            monkeypatch, {**collector.environ, "OTEL_BSP_MAX_QUEUE_SIZE": "64", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8"}
        )
        async with open_tracing(ON, {}, FakeClock(), program="service") as tracer:
            assert tracer is not None
            began = time.monotonic()
            for _ in range(5000):
                tracer.start_span("many").end()
            took = time.monotonic() - began

    assert took < 2
