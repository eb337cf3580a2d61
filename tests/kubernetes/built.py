"""Build overlays and components as an operator does, with `kubectl kustomize`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from runtime.settings import PREFIX
from tests.contract.installed import need

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
BASE = KUBERNETES / "base"
OVERLAYS = ("dev", "production")
PROGRAMS = {"service": "pause-notifications-facade", "consumers": "pause-notifications-replica"}
"""The programs that serve, and their Deployments."""
SECRET = {f"{PREFIX}KAFKA_SASL_USERNAME": "user", f"{PREFIX}KAFKA_SASL_PASSWORD": "password"}
"""What an operator puts into the Secret of a program."""

Object = Mapping[str, Any]


def read_objects(*paths: Path) -> tuple[Object, ...]:
    """Return the objects of files."""
    return tuple(found for path in paths for found in yaml.safe_load_all(path.read_text(encoding="utf-8")) if found)


def base_objects() -> tuple[Object, ...]:
    """Return the objects of the base as they stand in its files, without a tool."""
    return read_objects(*(path for path in sorted(BASE.glob("*.yaml")) if path.name != "kustomization.yaml"))


def built(overlay: str) -> tuple[Object, ...]:
    """Return the objects of an overlay; skip, or install kubectl in CI, if it is missing."""
    need(_kustomizes, "kubernetes-client")
    return _built(KUBERNETES / "overlays" / overlay)


def built_from(folder: Path, resources: Sequence[Path], components: Sequence[Path]) -> tuple[Object, ...]:
    """Return the objects of resources with other components, by a kustomization in *folder*."""
    need(_kustomizes, "kubernetes-client")
    kustomization = {
        "resources": [os.path.relpath(path, folder.resolve()) for path in resources],
        "components": [os.path.relpath(path, folder.resolve()) for path in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    return _built(folder)


def built_with(folder: Path, overlay: str, further: Mapping[str, Sequence[Any]]) -> tuple[Object, ...]:
    """Return the objects of an overlay copied to *folder*, with further items of its kustomization's lists."""
    need(_kustomizes, "kubernetes-client")
    for part in (KUBERNETES, KUBERNETES.parent / "monitoring"):
        shutil.copytree(part, folder / part.name, dirs_exist_ok=True)
    copied = folder / KUBERNETES.name / "overlays" / overlay
    kustomization = yaml.safe_load((copied / "kustomization.yaml").read_text(encoding="utf-8"))
    for name, items in further.items():
        kustomization[name] = [*kustomization.get(name, []), *items]
    (copied / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    return _built(copied)


def of_kind(objects: Sequence[Object], *kinds: str) -> dict[str, Object]:
    """Return the objects of these kinds by their names."""
    return {found["metadata"]["name"]: found for found in objects if found["kind"] in kinds}


def workloads(objects: Sequence[Object]) -> dict[str, Object]:
    """Return what starts pods, by name."""
    return of_kind(objects, "Deployment", "Job")


def programs(objects: Sequence[Object]) -> dict[str, Object]:
    """Return the Deployments of the programs that serve, by the program."""
    deployments = of_kind(objects, "Deployment")
    return {program: deployments[name] for program, name in PROGRAMS.items()}


def pod_of(workload: Object) -> Object:
    """Return the pod that a workload starts."""
    pod: Object = workload["spec"]["template"]["spec"]
    return pod


def container_of(workload: Object) -> Object:
    """Return the one container of a workload's pod."""
    containers: list[Object] = pod_of(workload)["containers"]
    (container,) = containers
    return container


def configured(objects: Sequence[Object]) -> dict[str, str]:
    """Return the variables of the ConfigMap, and with SASL those of a program's Secret."""
    (configuration,) = of_kind(objects, "ConfigMap").values()
    found = dict(configuration["data"])
    with_password = "SASL" in found.get(f"{PREFIX}KAFKA_SECURITY_PROTOCOL", "")
    return found | (SECRET if with_password else {})


@cache
def _built(folder: Path) -> tuple[Object, ...]:
    asked = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=60, check=False)
    assert asked.returncode == 0, asked.stderr
    return tuple(found for found in yaml.safe_load_all(asked.stdout) if found)


def _kustomizes() -> bool:
    """Return whether there is a kubectl that knows components: they came with kustomize 4."""
    try:
        asked = subprocess.run(
            ["kubectl", "version", "--client", "--output=json"], capture_output=True, timeout=30, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    version = json.loads(asked.stdout).get("kustomizeVersion", "v0")
    return int(version.removeprefix("v").partition(".")[0]) >= 4
