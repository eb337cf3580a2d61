"""The component that exports traces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import kubernetes_validate
import pytest

from runtime.environment import read_settings
from runtime.settings import PREFIX, ServiceSettings
from runtime.tracing.variables import invalid_variables
from tests.kubernetes.built import KUBERNETES, Object, built_from, configured, of_kind
from tests.kubernetes.test_manifests import VERSIONS


@pytest.fixture(name="objects")
def _objects(tmp_path: Path) -> Sequence[Object]:
    return built_from(tmp_path, [KUBERNETES / "overlays" / "dev"], [KUBERNETES / "components" / "tracing"])


def test_the_variables_turn_traces_on(objects: Sequence[Object]) -> None:
    """Both programs accept the values, and OpenTelemetry's variables are valid."""
    found = configured(objects)
    ours = {name: text for name, text in found.items() if name.startswith(PREFIX)}

    assert read_settings(ServiceSettings, ours).tracing
    assert urlsplit(found["OTEL_EXPORTER_OTLP_ENDPOINT"]).hostname
    assert () == invalid_variables(found)


def test_the_collector_can_be_reached(objects: Sequence[Object]) -> None:
    """The policy lets the programs connect to the port of the endpoint, in the namespace of its name."""
    endpoint = urlsplit(configured(objects)["OTEL_EXPORTER_OTLP_ENDPOINT"])
    policy = of_kind(objects, "NetworkPolicy")["pause-notifications-traces"]
    (rule,) = policy["spec"]["egress"]

    assert [{"protocol": "TCP", "port": endpoint.port}] == rule["ports"]
    assert (endpoint.hostname or "").split(".")[1] == (
        rule["to"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_it(objects: Sequence[Object], version: str) -> None:
    """The policy fits the schemas of the oldest and the newest version."""
    policy = of_kind(objects, "NetworkPolicy")["pause-notifications-traces"]

    assert kubernetes_validate.validate(policy, version, strict=True)
