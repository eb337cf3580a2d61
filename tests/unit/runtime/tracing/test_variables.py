"""OpenTelemetry's own variables: a wrong one stops the start."""

from __future__ import annotations

import pytest

from runtime.tracing.variables import invalid_variables, is_disabled

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (ENDPOINT, "http://collector:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces.example.org/otlp/v1/traces"),
        (HEADERS, "Authorization=Basic%20abc, X-Tenant=mentoring"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2.5"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", __file__),
        ("OTEL_TRACES_SAMPLER", "ParentBased_TraceIdRatio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.01"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "512"),
        ("OTEL_RESOURCE_ATTRIBUTES", "anything=goes"),
        ("OTEL_TRACES_SAMPLER", ""),
    ],
)
def test_valid(name: str, text: str) -> None:
    """Valid, empty and foreign variables are no problem."""
    assert () == invalid_variables({name: text})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (ENDPOINT, "collector:4317"),
        (ENDPOINT, "http://"),
        (HEADERS, "no pair"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "10000"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "nan"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/no/such/file"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "9999999999"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_SDK_DISABLED", "maybe"),
    ],
)
def test_invalid(name: str, text: str) -> None:
    """A wrong one is named, with what is allowed."""
    (problem,) = invalid_variables({name: text})

    assert problem.startswith(name)
    assert " it must be " in problem


@pytest.mark.parametrize(("name", "text"), [(ENDPOINT, "ftp://me:hunter2@host"), (HEADERS, "Authorization hunter2")])
def test_secrets_are_not_shown(name: str, text: str) -> None:
    """A value that may hold a password is not quoted."""
    (problem,) = invalid_variables({name: text})

    assert "hunter2" not in problem


def test_a_batch_fits_into_the_queue() -> None:
    """The queue holds at least a batch, whose default counts, too."""
    (problem,) = invalid_variables({"OTEL_BSP_MAX_QUEUE_SIZE": "100"})

    assert "OTEL_BSP_MAX_EXPORT_BATCH_SIZE <= OTEL_BSP_MAX_QUEUE_SIZE is required." == problem


@pytest.mark.parametrize(("text", "disabled"), [("", False), ("false", False), ("true", True), (" TRUE ", True)])
def test_switch(text: str, *, disabled: bool) -> None:
    """OpenTelemetry's own switch turns traces off."""
    assert disabled is is_disabled({"OTEL_SDK_DISABLED": text})
