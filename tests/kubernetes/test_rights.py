"""What pods may do: Pod Security, an identity for each program, and who may connect to whom."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest

from runtime.settings import PREFIX
from tests.kubernetes.built import (
    OVERLAYS,
    ROOT,
    Object,
    built,
    configured,
    container_of,
    of_kind,
    pod_of,
    workloads,
)
from tests.kubernetes.pod_security import violations

IDENTITIES = {
    "pause-notifications-facade": "pause-notifications-facade",
    "pause-notifications-replica": "pause-notifications-replica",
    "pause-notifications-contacts": "pause-notifications-contacts",
    "pause-notifications-topics": "pause-notifications-command",
    "pause-notifications-command": "pause-notifications-command",
}
"""Each workload's ServiceAccount, and its Secret for Kafka."""
CALL_AWS = {"pause-notifications-replica", "pause-notifications-command"}


@pytest.fixture(params=OVERLAYS, name="objects")
def _objects(request: pytest.FixtureRequest) -> tuple[Object, ...]:
    """Return the objects of each overlay."""
    return built(request.param)


def _in_container(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(pod: dict[str, Any]) -> None:
        pod["containers"][0]["securityContext"].update(changes)

    return change


def _in_pod(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(pod: dict[str, Any]) -> None:
        pod["securityContext"].update(changes)

    return change


class TestPodSecurity:
    """The level "restricted"."""

    def test_every_pod_is_restricted(self, objects: tuple[Object, ...]) -> None:
        """No pod does what the level forbids."""
        found = {name: list(violations(pod_of(workload))) for name, workload in workloads(objects).items()}

        assert {name: [] for name in IDENTITIES} == found

    def test_the_namespace_enforces_it(self, objects: tuple[Object, ...]) -> None:
        """Kubernetes refuses other pods in the namespace, which is that of every object."""
        ((name, namespace),) = of_kind(objects, "Namespace").items()

        assert "restricted" == namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        assert {name} == {found["metadata"]["namespace"] for found in objects if found["kind"] != "Namespace"}

    @pytest.mark.parametrize(
        ("forbidden", "change"),
        [
            ("hostNetwork", lambda pod: pod.update(hostNetwork=True)),
            ("volume host", lambda pod: pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}})),
            ("hostPort", lambda pod: pod["containers"][0]["ports"][0].update(hostPort=80)),
            ("sysctls", _in_pod(sysctls=[{"name": "kernel.shm_rmid_forced", "value": "0"}])),
            ("runAsNonRoot", _in_pod(runAsNonRoot=False)),
            ("runAsUser", _in_pod(runAsUser=0)),
            ("seccompProfile", _in_pod(seccompProfile={"type": "Unconfined"})),
            ("privileged", _in_container(privileged=True)),
            ("allowPrivilegeEscalation", _in_container(allowPrivilegeEscalation=True)),
            ("capabilities", _in_container(capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]})),
            ("procMount", _in_container(procMount="Unmasked")),
            ("seLinuxOptions or appArmorProfile", _in_container(appArmorProfile={"type": "Unconfined"})),
        ],
    )
    def test_what_is_forbidden_is_seen(self, forbidden: str, change: Callable[[dict[str, Any]], None]) -> None:
        """A pod that does one thing that the level forbids fails the check for just that."""
        pod = copy.deepcopy(dict(pod_of(workloads(built("dev"))["pause-notifications-facade"])))

        change(pod)

        assert [forbidden] == list(violations(pod))

    def test_pods_are_the_images_user_on_a_read_only_root(self, objects: tuple[Object, ...]) -> None:
        """Beyond the level: the image's user and group, nothing to write to, no token of the cluster."""
        dockerfile = (ROOT / "deploy" / "image" / "Dockerfile").read_text(encoding="utf-8")
        (user, group) = re.findall(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)[-1]
        for workload in workloads(objects).values():
            pod = pod_of(workload)

            assert {"runAsUser": int(user), "runAsGroup": int(group)}.items() <= pod["securityContext"].items()
            assert container_of(workload)["securityContext"]["readOnlyRootFilesystem"] is True
            assert pod["automountServiceAccountToken"] is False

    def test_service_links_are_off(self, objects: tuple[Object, ...]) -> None:
        """No pod gets variables that look like our settings."""
        assert {False} == {pod_of(workload).get("enableServiceLinks") for workload in workloads(objects).values()}

    def test_resources_are_said(self, objects: tuple[Object, ...]) -> None:
        """Every container requests CPU and memory, and has a memory limit."""
        for workload in workloads(objects).values():
            resources = container_of(workload)["resources"]

            assert {"cpu", "memory"} == set(resources["requests"])
            assert {"memory"} == set(resources["limits"])


class TestIdentities:
    """Each program has a ServiceAccount and a Kafka user of its own."""

    def test_each_has_its_own(self, objects: tuple[Object, ...]) -> None:
        """Facade, replica, contacts Job and command share neither account nor Secret."""
        accounts = {name: pod_of(workload)["serviceAccountName"] for name, workload in workloads(objects).items()}
        secrets = {
            name: [source["secretRef"]["name"] for source in container_of(workload)["envFrom"] if "secretRef" in source]
            for name, workload in workloads(objects).items()
        }

        assert IDENTITIES == accounts
        assert {name: [identity] for name, identity in IDENTITIES.items()} == secrets

    def test_accounts_are_those_that_are_used(self, objects: tuple[Object, ...]) -> None:
        """There is no ServiceAccount beside these, and none has a token of the cluster."""
        accounts = of_kind(objects, "ServiceAccount")

        assert set(IDENTITIES.values()) == set(accounts)
        assert {False} == {account["automountServiceAccountToken"] for account in accounts.values()}

    def test_roles_are_of_those_that_call_aws(self, objects: tuple[Object, ...]) -> None:
        """Facade and contacts Job have no role in AWS."""
        accounts = of_kind(objects, "ServiceAccount").items()

        assert CALL_AWS == {name for name, account in accounts if account["metadata"].get("annotations")}


class TestNetwork:
    """Who connects to whom."""

    def test_nothing_is_open_by_default(self, objects: tuple[Object, ...]) -> None:
        """One policy closes all pods in both directions."""
        closed = of_kind(objects, "NetworkPolicy")["pause-notifications-closed"]["spec"]

        assert {"Ingress", "Egress"} == set(closed["policyTypes"])
        assert {"podSelector", "policyTypes"} == set(closed)
        assert set(workloads(objects)) == _selected(objects, closed["podSelector"])

    def test_who_may_connect_to_kafka_and_to_aws(self, objects: tuple[Object, ...]) -> None:
        """All pods connect to the ports of the brokers; only replica and command connect to AWS."""
        servers = configured(objects)[f"{PREFIX}KAFKA_BOOTSTRAP_SERVERS"]
        ports = {int(server.rpartition(":")[2]) for server in servers.split(",")}
        out = {port: _may_leave_by(objects, port) for port in (*ports, 443)}

        assert {port: set(IDENTITIES) for port in ports} | {443: CALL_AWS} == out

    def test_who_may_be_connected_to(self, objects: tuple[Object, ...]) -> None:
        """REST is the facade's; the management ports are the programs'."""
        expected = {
            "http": {"pause-notifications-facade"},
            "management": {"pause-notifications-facade", "pause-notifications-replica"},
        }

        actual: dict[str, set[str]] = {}
        for policy in of_kind(objects, "NetworkPolicy").values():
            for rule in policy["spec"].get("ingress", ()):
                assert rule["from"], "no rule lets everybody in"
                for port in rule["ports"]:
                    actual.setdefault(port["port"], set()).update(_selected(objects, policy["spec"]["podSelector"]))

        assert expected == actual


def _selected(objects: tuple[Object, ...], selector: Object) -> set[str]:
    """Return the names of the workloads whose pods a selector finds."""
    return {
        name
        for name, workload in workloads(objects).items()
        if _matches(workload["spec"]["template"]["metadata"]["labels"], selector)
    }


def _matches(labels: Object, selector: Object) -> bool:
    expressions = selector.get("matchExpressions", ())
    assert {"In"} >= {expression["operator"] for expression in expressions}
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(expression["key"]) in expression["values"] for expression in expressions
    )


def _may_leave_by(objects: tuple[Object, ...], port: int) -> set[str]:
    """Return the names of the workloads that may connect to a port, anywhere."""
    return {
        name
        for policy in of_kind(objects, "NetworkPolicy").values()
        for rule in policy["spec"].get("egress", ())
        if any(allowed["port"] == port for allowed in rule["ports"])
        for name in _selected(objects, policy["spec"]["podSelector"])
    }
