"""The overlays fit Kubernetes' schemas, and name what the code has: programs, ports, settings, commands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest

from runtime.environment import describe_settings, read_settings
from runtime.kafka.topics import DEFAULT_PARTITIONS
from runtime.settings import PREFIX, ProgramSettings, ReplicaSettings, ServiceSettings
from tests.kubernetes.built import (
    KUBERNETES,
    OVERLAYS,
    PROGRAMS,
    ROOT,
    Object,
    built,
    built_from,
    configured,
    container_of,
    of_kind,
    pod_of,
    programs,
    workloads,
)
from tests.signing import keys_file

VERSIONS = ("1.29", "1.37")  # the oldest and the newest that the manifests are held to
GRACE_BEYOND_DRAIN_SECONDS = 10
SETTINGS: dict[str, type[ProgramSettings]] = {"service": ServiceSettings, "consumers": ReplicaSettings}
SIGNING_KEYS = f"{PREFIX}SIGNING_KEYS_FILE"
THEIR_OWN = ("ScaledObject", "TriggerAuthentication", "PodMonitor", "PrometheusRule")
"""What is no object of Kubernetes itself."""


@pytest.fixture(params=OVERLAYS, name="objects")
def _objects(request: pytest.FixtureRequest) -> tuple[Object, ...]:
    """Return the objects of each overlay."""
    return built(request.param)


class TestSchemas:
    """Kubernetes' own schemas."""

    @pytest.mark.parametrize("version", VERSIONS)
    def test_takes_every_object(self, objects: tuple[Object, ...], version: str) -> None:
        """Every object fits the schema, without a field that Kubernetes does not know."""
        ours = [found for found in objects if found["kind"] not in THEIR_OWN]

        validated = [kubernetes_validate.validate(found, version, strict=True) for found in ours]

        assert len(ours) == len(validated) > 0

    @pytest.mark.parametrize("version", VERSIONS)
    def test_takes_the_plain_autoscaler(self, version: str, tmp_path: Path) -> None:
        """The component for a cluster without KEDA fits, too."""
        found = built_from(tmp_path, [KUBERNETES / "base"], [KUBERNETES / "components" / "hpa"])
        (autoscaler,) = of_kind(found, "HorizontalPodAutoscaler").values()

        assert kubernetes_validate.validate(autoscaler, version, strict=True)

    def test_a_misspelt_field_is_seen(self) -> None:
        """The validation is strict: a field that Kubernetes does not know fails it."""
        service = dict(of_kind(built("dev"), "Service")["pause-notifications"], speck={})

        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(service, VERSIONS[-1], strict=True)


class TestSettings:
    """The ConfigMap, and the files that are mounted."""

    def test_variables_are_settings(self) -> None:
        """Every variable of ours that a file names is one that a program reads."""
        text = "".join(path.read_text(encoding="utf-8") for path in KUBERNETES.rglob("*.yaml"))
        named = set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", text))

        assert set() == named - {row.variable for row in describe_settings()}

    @pytest.mark.parametrize("program", PROGRAMS)
    def test_start_the_program(self, objects: tuple[Object, ...], program: str) -> None:
        """Each program accepts the values, with the user name and the password of its Secret."""
        found = configured(objects)

        settings = read_settings(SETTINGS[program], found | {SIGNING_KEYS: str(keys_file())})

        assert found[f"{PREFIX}KAFKA_BOOTSTRAP_SERVERS"] == settings.kafka_bootstrap_servers

    def test_production_encrypts_and_proves_who_it_is(self) -> None:
        """In production the way to Kafka is TLS with a password."""
        assert "SASL_SSL" == configured(built("production"))[f"{PREFIX}KAFKA_SECURITY_PROTOCOL"]

    def test_programs_have_the_signing_keys(self, objects: tuple[Object, ...]) -> None:
        """Programs and command read the file of the mounted Secret, which the image's group may read."""
        for workload in of_kind(objects, "Deployment").values():
            pod, container = pod_of(workload), container_of(workload)
            (variable,), (mount,), (volume,) = container["env"], container["volumeMounts"], pod["volumes"]

            assert {"name": SIGNING_KEYS, "value": f"{mount['mountPath']}/signing-keys"} == variable
            assert (mount["name"], True) == (volume["name"], mount["readOnly"])
            assert {"secretName": "pause-notifications-signing-keys", "defaultMode": 0o440} == volume["secret"]
            assert pod["securityContext"]["runAsGroup"] == pod["securityContext"]["fsGroup"]

    def test_the_contacts_are_where_their_job_reads_them(self, objects: tuple[Object, ...]) -> None:
        """The Job loads the file of the Secret that it mounts."""
        job = workloads(objects)["pause-notifications-contacts"]
        (mount,) = container_of(job)["volumeMounts"]

        assert f"{mount['mountPath']}/contacts.jsonl" == container_of(job)["command"][-1]


class TestPrograms:
    """The Deployments."""

    def test_every_program_is_deployed(self, objects: tuple[Object, ...]) -> None:
        """There is one Deployment a program, whose container has its name and starts it without a shell."""
        expected = {program: (program, ["python", "-m", program]) for program in SETTINGS}

        actual = {
            program: (container_of(workload)["name"], container_of(workload)["command"])
            for program, workload in programs(objects).items()
        }

        assert expected == actual

    def test_ports_are_the_defaults_of_the_settings(self, objects: tuple[Object, ...]) -> None:
        """Containers open exactly the ports that the programs listen on."""
        facade, replica = ServiceSettings(), ReplicaSettings()
        expected = {
            "service": {"http": facade.http_port, "management": facade.management_port},
            "consumers": {"management": replica.management_port},
        }

        actual = {
            program: {port["name"]: port["containerPort"] for port in container_of(workload)["ports"]}
            for program, workload in programs(objects).items()
        }

        assert expected == actual

    def test_probes_ask_the_management_port(self, objects: tuple[Object, ...]) -> None:
        """Startup and liveness probe /livez, readiness /readyz, all on the management port."""
        expected = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}

        for workload in programs(objects).values():
            container = container_of(workload)
            assert expected == {probe: container[probe]["httpGet"]["path"] for probe in expected}
            assert {"management"} == {container[probe]["httpGet"]["port"] for probe in expected}

    def test_service_leads_to_the_facade(self, objects: tuple[Object, ...]) -> None:
        """The Service selects the facade's pods and its HTTP port by name."""
        service = of_kind(objects, "Service")["pause-notifications"]["spec"]
        labels = programs(objects)["service"]["spec"]["template"]["metadata"]["labels"]

        assert service["selector"].items() <= labels.items()
        assert ["http"] == [port["targetPort"] for port in service["ports"]]

    def test_a_name_has_the_addresses_of_all_replicas(self, objects: tuple[Object, ...]) -> None:
        """The headless Service selects the replicas' pods, ready or not, at the port of their probes."""
        service = of_kind(objects, "Service")["pause-notifications-replica"]["spec"]
        replica = programs(objects)["consumers"]
        ports = {port["name"]: port["containerPort"] for port in container_of(replica)["ports"]}

        assert ("None", True) == (service["clusterIP"], service["publishNotReadyAddresses"])
        assert service["selector"].items() <= replica["spec"]["template"]["metadata"]["labels"].items()
        assert [ports["management"]] == [port["port"] for port in service["ports"]]

    def test_pods_have_time_to_drain(self, objects: tuple[Object, ...]) -> None:
        """The pre-stop hook, the drain and ten seconds more fit into the grace period of every program."""
        for program, workload in programs(objects).items():
            settings = read_settings(SETTINGS[program], configured(objects))
            hook = container_of(workload).get("lifecycle", {}).get("preStop", {}).get("exec", {})
            before = hook.get("command", ["sleep", "0"])
            needed = float(before[1]) + settings.drain_seconds + GRACE_BEYOND_DRAIN_SECONDS

            assert needed <= pod_of(workload)["terminationGracePeriodSeconds"], program

    def test_every_program_has_a_disruption_budget(self, objects: tuple[Object, ...]) -> None:
        """Budgets select exactly the pods of the programs, one pod at a time."""
        expected = {
            workload["metadata"]["name"]: (workload["spec"]["selector"], 1) for workload in programs(objects).values()
        }

        actual = {
            name: (budget["spec"]["selector"], budget["spec"]["maxUnavailable"])
            for name, budget in of_kind(objects, "PodDisruptionBudget").items()
        }

        assert expected == actual

    def test_programs_are_spread(self, objects: tuple[Object, ...]) -> None:
        """The pods of a program are spread over zones and nodes, those of one version counted."""
        for workload in programs(objects).values():
            rules = pod_of(workload)["topologySpreadConstraints"]

            assert ["topology.kubernetes.io/zone", "kubernetes.io/hostname"] == [rule["topologyKey"] for rule in rules]
            assert all(rule["labelSelector"] == workload["spec"]["selector"] for rule in rules)
            assert all(rule["matchLabelKeys"] == ["pod-template-hash"] for rule in rules)

    def test_replicas_do_not_outnumber_partitions(self) -> None:
        """No replica is idle from the start."""
        assert 1 <= programs(built("dev"))["consumers"]["spec"]["replicas"] <= DEFAULT_PARTITIONS


class TestImages:
    """What is started."""

    def test_dev_is_this_version(self) -> None:
        """Dev starts the version that pyproject.toml names; raise both together."""
        version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

        assert {f"pause-notifications:{version}"} == {
            container_of(w)["image"] for w in workloads(built("dev")).values()
        }

    def test_production_names_the_image_by_its_digest(self) -> None:
        """Nobody can put another image in the place of production's."""
        (image,) = {container_of(workload)["image"] for workload in workloads(built("production")).values()}

        assert re.fullmatch(r"[\w./-]+/pause-notifications@sha256:[0-9a-f]{64}", image)

    def test_selectors_find_their_own_pods(self, objects: tuple[Object, ...]) -> None:
        """A Deployment's pods carry the labels that it selects, and no other's."""
        selectors = {n: w["spec"]["selector"]["matchLabels"] for n, w in of_kind(objects, "Deployment").items()}

        for name, workload in workloads(objects).items():
            labels = workload["spec"]["template"]["metadata"]["labels"]
            selecting = [other for other, wanted in selectors.items() if wanted.items() <= labels.items()]

            assert ([name] if name in selectors else []) == selecting

    def test_topics_are_made_with_the_default_partitions(self, objects: tuple[Object, ...]) -> None:
        """Every overlay's Job creates as many partitions as the code's default."""
        command = container_of(workloads(objects)["pause-notifications-topics"])["command"]

        assert str(DEFAULT_PARTITIONS) == command[command.index("--partitions") + 1]
