"""What deploy/README.md says about templates of one's own, built as an operator builds it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumers.notices.notices import Notices
from consumers.notices.own_templates import templates_in
from runtime.settings import env_name
from tests.kubernetes.built import ROOT, Object, built_with, container_of, of_kind, pod_of

OURS = ROOT / "consumers" / "notices" / "templates"
GENERATED = "pause-notifications-templates-"


def section() -> str:
    """Return the section of the README."""
    readme = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    return readme.partition("\n## Own templates\n")[2].partition("\n## ")[0]


def shown() -> dict[str, Any]:
    """Return the lines of the kustomization that the README shows."""
    found: dict[str, Any] = yaml.safe_load(section().partition("```yaml\n")[2].partition("```")[0])
    return found


@pytest.fixture(name="objects", scope="module")
def _objects(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Object]:
    """Build the production overlay with the shown lines and the files that they name."""
    folder = tmp_path_factory.mktemp("deploy")
    overlay = folder / "kubernetes" / "overlays" / "production"
    for line in shown()["configMapGenerator"][0]["files"]:
        file = overlay / line.partition("=")[2]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text((OURS / file.relative_to(overlay / "templates")).read_text("utf-8"), encoding="utf-8")
    return built_with(folder, "production", shown())


def mounted(objects: Sequence[Object], name: str) -> tuple[str, Mapping[str, str]]:
    """Return where a Deployment mounts templates, and the content of the mounted files by their paths."""
    deployment = of_kind(objects, "Deployment")[name]
    (volume,) = (one for one in pod_of(deployment)["volumes"] if one["name"] == "templates")
    (mount,) = (one for one in container_of(deployment)["volumeMounts"] if one["name"] == "templates")
    data = of_kind(objects, "ConfigMap")[volume["configMap"]["name"]]["data"]
    return mount["mountPath"], {item["path"]: data[item["key"]] for item in volume["configMap"]["items"]}


@pytest.mark.parametrize("name", ["pause-notifications-replica", "pause-notifications-command"])
def test_templates_are_mounted(objects: Sequence[Object], tmp_path: Path, name: str) -> None:
    """Replica and command mount every file of the ConfigMap under a name that replaces one of ours."""
    _, files = mounted(objects, name)
    for path, content in files.items():
        (tmp_path / "mounted" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mounted" / path).write_text(content, encoding="utf-8")

    assert len(shown()["configMapGenerator"][0]["files"]) == len(files)
    assert Notices(templates_in(tmp_path / "mounted"))


def test_the_setting_names_the_mounted_folder(objects: Sequence[Object]) -> None:
    """The folder that the text tells to set is where the files are."""
    named = re.findall(rf"`{env_name('templates_dir')}` to `([^`]+)`", section())

    assert [mounted(objects, "pause-notifications-replica")[0]] == named


def test_a_change_rolls_out(objects: Sequence[Object]) -> None:
    """The ConfigMap's name has a hash of its content, so pods are replaced when it changes."""
    names = [name for name in of_kind(objects, "ConfigMap") if name.startswith(GENERATED)]

    assert 1 == len(names)
