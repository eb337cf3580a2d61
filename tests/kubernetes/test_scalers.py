"""What scales the replicas, and the operators' objects: they fit their CRDs, and name what the code has."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from prometheus_client import CollectorRegistry

from consumers.metrics import replica_metrics
from runtime.environment import read_settings
from runtime.kafka.topics import DEFAULT_PARTITIONS
from runtime.settings import PREFIX, ReplicaSettings
from tests.kubernetes.built import (
    KUBERNETES,
    Object,
    built,
    built_from,
    configured,
    container_of,
    of_kind,
    programs,
)
from tests.kubernetes.test_manifests import THEIR_OWN

CRDS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "crds.json").read_text(encoding="utf-8"))
"""Of each kind the version that it was read from, and the schema of its `spec`, without descriptions."""

# What KEDA 2.20.0 reads of a trigger's `metadata`, which its CRD leaves open: pkg/scalers/{prometheus,kafka}_scaler.go.
TRIGGERS = {
    "prometheus": (
        "serverAddress query threshold activationThreshold namespace customHeaders ignoreNullValues "
        "queryParameters unsafeSsl timeout authModes awsRegion identityOwner"
    ),
    "kafka": (
        "bootstrapServers consumerGroup topic partitionLimitation lagThreshold activationLagThreshold "
        "offsetResetPolicy allowIdleConsumers excludePersistentLag scaleToZeroOnInvalidOffset "
        "limitToPartitionsWithLag ensureEvenDistributionOfPartitions version tls unsafeSsl sasl "
        "saslTokenProvider awsRegion"
    ),
}
AUTHENTICATION = {"sasl", "tls", "username", "password", "ca", "cert", "key", "keyPassword"}


def _scaled() -> Mapping[str, Any]:
    spec: Mapping[str, Any] = of_kind(built("production"), "ScaledObject")["pause-notifications-replica"]["spec"]
    return spec


def _trigger(kind: str) -> Mapping[str, Any]:
    (trigger,) = [found for found in _scaled()["triggers"] if found["type"] == kind]
    return dict(trigger)


class TestSchemas:
    """The CRDs."""

    def test_production_has_every_kind(self) -> None:
        """Each kind is looked at."""
        assert set(THEIR_OWN) == set(CRDS) == {found["kind"] for found in built("production")} & set(CRDS)

    @pytest.mark.parametrize("kind", THEIR_OWN)
    def test_has_only_fields_of_its_crd(self, kind: str) -> None:
        """An object has its CRD's version, and no field that this does not know."""
        for found in of_kind(built("production"), kind).values():
            assert CRDS[kind]["apiVersion"] == found["apiVersion"]
            jsonschema.validate(found["spec"], CRDS[kind]["spec"])

    @pytest.mark.parametrize("kind", THEIR_OWN)
    def test_a_misspelt_field_is_seen(self, kind: str) -> None:
        """A field that a CRD does not know fails the check."""
        (found,) = of_kind(built("production"), kind).values()

        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**found["spec"], "speck": {}}, CRDS[kind]["spec"])

    @pytest.mark.parametrize("kind", TRIGGERS)
    def test_metadata_is_what_the_trigger_reads(self, kind: str) -> None:
        """Metadata is a free map of texts to KEDA, so a misspelt name would count as unset."""
        metadata = _trigger(kind)["metadata"]

        assert set() == set(metadata) - set(TRIGGERS[kind].split())
        assert {str} == {type(value) for value in metadata.values()}

    def test_authentication_is_what_the_trigger_reads(self) -> None:
        """The Kafka trigger names the authentication, whose parameters it knows."""
        name = _trigger("kafka")["authenticationRef"]["name"]
        authentication = of_kind(built("production"), "TriggerAuthentication")[name]["spec"]

        assert set() == {found["parameter"] for found in authentication["secretTargetRef"]} - AUTHENTICATION


class TestKeda:
    """The ScaledObject."""

    def test_scales_the_replicas(self) -> None:
        """It names their Deployment, between two and the number of partitions."""
        scaled = _scaled()

        assert programs(built("production"))["consumers"]["metadata"]["name"] == scaled["scaleTargetRef"]["name"]
        assert (2, DEFAULT_PARTITIONS) == (scaled["minReplicaCount"], scaled["maxReplicaCount"])

    def test_the_number_is_left_to_it(self) -> None:
        """The Deployment says no number, or each `apply` would set it back."""
        assert "replicas" not in programs(built("production"))["consumers"]["spec"]

    def test_asks_for_what_the_replicas_want(self) -> None:
        """The query names a metric of the replica, of the pods' namespace alone, without NaN; no answer is an error."""
        registry = CollectorRegistry()
        replica_metrics(registry)
        metric, namespace = "pause_notifications_replicas_wanted", *of_kind(built("production"), "Namespace")
        metadata = _trigger("prometheus")["metadata"]

        assert metric in {found.name for found in registry.collect()}
        assert f'max({metric}{{namespace="{namespace}"}} > 0)' == metadata["query"]
        assert "false" == metadata["ignoreNullValues"]

    def test_reads_the_lag_of_our_group(self) -> None:
        """The trigger connects to the brokers of the programs, and names their group."""
        found = configured(built("production"))
        settings = read_settings(ReplicaSettings, found)
        metadata = _trigger("kafka")["metadata"]

        assert found[f"{PREFIX}KAFKA_BOOTSTRAP_SERVERS"] == metadata["bootstrapServers"]
        assert settings.group_id == metadata["consumerGroup"]

    def test_a_halt_is_no_reason(self) -> None:
        """Lag that stands still counts, so a halt does not scale in; it is bounded, so a halt scales out little."""
        assert "false" == _trigger("kafka")["metadata"]["excludePersistentLag"]
        assert "earliest" == _trigger("kafka")["metadata"]["offsetResetPolicy"]
        assert "max(3.0, min(6.0, lag / 1000.0))" in _scaled()["advanced"]["scalingModifiers"]["formula"]

    def test_the_lag_decides_only_without_prometheus(self) -> None:
        """The formula takes what the replicas want first, by the names of the triggers; a trigger that fails is nil."""
        formula = _scaled()["advanced"]["scalingModifiers"]["formula"]
        names = [trigger["name"] for trigger in _scaled()["triggers"]]

        assert names == [word for word in re.findall(r"[a-z]+", formula) if word not in {"max", "min"}]
        assert formula.startswith(f"{_trigger('prometheus')['name']} ?? ")
        assert "scalingModifiers" == _scaled()["fallback"]["behavior"]

    def test_the_formulas_numbers_have_a_point(self) -> None:
        """KEDA takes a formula's result as a float, and fails with a whole number."""
        formula = _scaled()["advanced"]["scalingModifiers"]["formula"]

        assert [] == [number for number in re.findall(r"[\d.]+", formula) if "." not in number]

    def test_scales_in_slowly(self) -> None:
        """A replica leaves only when it was not wanted for half an hour, and not all at once."""
        down = _scaled()["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]

        assert down["stabilizationWindowSeconds"] >= 1800
        assert [("Percent", 50)] == [(policy["type"], policy["value"]) for policy in down["policies"]]


class TestPlainAutoscaler:
    """The HorizontalPodAutoscaler for a cluster without KEDA."""

    def test_scales_as_keda_does(self, tmp_path: Path) -> None:
        """It has the bounds and the behavior of the ScaledObject, and the same metric."""
        objects = built_from(tmp_path, [KUBERNETES / "base"], [KUBERNETES / "components" / "hpa"])
        plain = of_kind(objects, "HorizontalPodAutoscaler")["pause-notifications-replica"]["spec"]
        scaled = _scaled()
        (metric,) = plain["metrics"]

        assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (plain["minReplicas"], plain["maxReplicas"])
        assert scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == plain["behavior"]
        assert metric["external"]["metric"]["name"] in _trigger("prometheus")["metadata"]["query"]
        assert {"type": "AverageValue", "averageValue": "1"} == metric["external"]["target"]
        assert "replicas" not in programs(objects)["consumers"]["spec"]


class TestMonitoring:
    """What the operator scrapes."""

    def test_scrapes_the_programs(self) -> None:
        """The PodMonitor's labels and port are those of both programs' pods."""
        objects: tuple[Object, ...] = built("production")
        (monitor,) = of_kind(objects, "PodMonitor").values()
        (expression,) = monitor["spec"]["selector"]["matchExpressions"]
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]

        for workload in programs(objects).values():
            labels = workload["spec"]["template"]["metadata"]["labels"]
            assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
            assert labels[expression["key"]] in expression["values"]
            assert endpoint["port"] in {port["name"] for port in container_of(workload)["ports"]}
